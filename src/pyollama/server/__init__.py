"""HTTP: dialects over the services. Status numbers and headers live here and nowhere else."""
