"""The Python client beside the original's, class against class, against one server."""
