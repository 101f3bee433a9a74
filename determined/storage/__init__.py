"""The durable side: a small protocol, an SQL implementation, and a twin in memory for tests."""
