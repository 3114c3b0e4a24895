"""Planning: turn a command line into a plan, whose arms have signatures."""
