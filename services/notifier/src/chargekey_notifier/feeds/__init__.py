"""Partners' feeds: what is told to whom, in one order, and for how long it is kept."""
