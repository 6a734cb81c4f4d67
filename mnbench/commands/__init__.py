"""Use cases; each reads like a recipe: compare, compare two runs, test the method itself, list what there is."""
