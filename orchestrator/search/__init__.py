"""The search for settings, such as the weights of class centralization and covariance matching.

A study has one data set, IPC and method; a trial is one choice of the searched settings. The work
of a trial is ordinary units in the ordinary store: sets distilled under protocol strict, at rungs
of increasing length, each evaluated on held-out images. Everything that a study knows is in table
`trials`. What comes next follows from those rows alone, so a search that was killed can continue,
and one that is done can be extended.

A search runs like this: `search` computes the extractors, opens the `journal` of a study, and hands
a `study_run` to Ray Tune (`ray_tune`). The study run asks the `sampler` for settings. A `worker`
climbs the rungs of a trial, where `warm_start` saves the work of the rung before. At the end,
`results` evaluates the winners in full.
"""
