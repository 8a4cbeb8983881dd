"""What every test shares: how hypothesis draws its examples."""

from hypothesis import settings

# No deadline: the first call of a torch kernel is slow, and so is a busy machine. The same examples in every run: a
# failure that one machine sees, another one sees too.
settings.register_profile("netcaliper", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("netcaliper")
