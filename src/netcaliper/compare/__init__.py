"""Side by side: layers of a network, networks, moments of a training; by what they represent and what they answer."""
