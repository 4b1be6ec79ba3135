"""The two doors of the socket: /agents and /customers. Who asks, is the input well formed, then one operation."""
