"""What a configuration costs: parameters, memory, seconds."""
