"""What touches the operating system on behalf of every layer: files, tables that only grow, child processes, telemetry."""
