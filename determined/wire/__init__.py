"""JSON on one side, values of the domain on the other; a file per resource."""
