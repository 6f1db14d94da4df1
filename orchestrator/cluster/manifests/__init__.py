"""Files that start a launch on a cluster, with the user's sizes filled in.

A Slurm script (`slurm`), a `RayJob` for Kubernetes (`kuberay`), and a cluster file for `ray up`
(`ray_up`). All of them describe the same `ClusterJob`.
"""
