"""Ready files for clusters: a Slurm script, a KubeRay `RayJob`, a `ray up` cluster, with the user's
sizes filled in.
"""
