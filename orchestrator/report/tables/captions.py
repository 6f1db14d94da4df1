"""What is said under tables of accuracies, their spread and their differences."""

_MEAN = (
    "Accuracy in %: mean ± population standard deviation over all networks of all sets, as"
    " published tables give it; "
)
ACCURACY = _MEAN + "best of each column bold, second underlined."
JOINT_ACCURACY = _MEAN + "best of each row bold, second underlined."
SWEPT_ACCURACY = _MEAN + "best of the table bold, second underlined."
SPREAD = (
    "In %. Interval: 95 %, two-level bootstrap over sets and the networks within them; with one set"
    " it says nothing about other sets. Between sets, within sets: sample standard deviation of the"
    " sets' means, and of the networks on one set."
)
SPREAD_HEADER = ("mean ± std", "95 % interval", "between sets", "within sets", "sets × networks")
DIFFERENCE = (
    "Difference of accuracy in points, paired by seed and network, with its 95 % interval"
    " (two-level bootstrap); bold where both the interval and a t test over the sets' differences,"
    " two-sided at 5 %, exclude zero."
)
