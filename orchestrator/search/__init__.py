"""The search for settings, such as the weights of class centralization and covariance matching.

A study has one data set, IPC and method; a trial is one choice of the searched settings. Its work
is ordinary units in the ordinary store: sets distilled under protocol strict, at rungs of rising
length, each evaluated on the images held out. Whatever a study knows stands in table `trials`: what
comes next follows from those rows alone, so a search that was killed goes on, and one that is done
can be extended.
"""
