"""Tools for authors of search methods: checking, replaying and comparing them."""
