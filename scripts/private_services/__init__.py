"""One module per server, `process` for what they share about processes, `packages` for what is installed."""
