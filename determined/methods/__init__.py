"""The built-in search methods: ordinary ``SearchMethod`` classes, a file each, and the rules for hosting them."""
