"""What the results say: generalization to other architectures, and claims put to the test."""
