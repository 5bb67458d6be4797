"""What readers look at: figures, live figures, the explorer."""
