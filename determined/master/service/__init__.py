"""What the master does: commit facts, perform effects, answer questions. HTTP is not its business."""
