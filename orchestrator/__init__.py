"""Plans, stores, launches and reports experiments in dataset distillation."""
