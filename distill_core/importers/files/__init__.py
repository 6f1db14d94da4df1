"""Files of sets: what kind they are, how they are opened safely, and what lies beside them."""
