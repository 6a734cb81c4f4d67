"""Facts about a model file, read from the file: nothing is executed, and neither torch nor a runtime is imported.

model.onnx ──onnx_file.read──▶ OnnxGraph ──onnx_facts.facts──▶ GraphFacts
model.xml  ──ir_file.read────▶ IrGraph   ──ir_facts.facts────▶ GraphFacts
"""
