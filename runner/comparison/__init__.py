"""`runner.compare`: a study from Python, with classes of the user's own as arms."""
