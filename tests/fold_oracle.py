"""The unfolded network, slowly: the traced graph with its own weights, and at every site the formula of a bent unit."""

import torch

ACTIVE = ("relu", "gelu", "silu", "sigmoid", "tanh")


def unfolded(graph, batch, alphas, targets=None):
    """Run ``alpha (a x + c) + (1 - alpha) phi(x)`` at every site, in gates ``u (alpha c + (1 - alpha) phi(g))``."""
    seen = {}

    def override(site):
        shape = [1] * len(graph._nodes[site.node].meta["val"].shape)
        shape[site.axis] = site.units
        dtype = graph.dtype
        alpha = alphas[site.name].to(dtype).reshape(shape)
        a, c = (targets or {}).get(site.name, (torch.ones(site.units), torch.zeros(site.units)))
        a, c = (t.to(dtype).reshape(shape) for t in (a, c))

        def call(value):
            if site.kind == "activation":
                return alpha * (a * seen[site.inputs[0]] + c) + (1 - alpha) * value
            (carrier,) = (n for n in site.inputs if not n.startswith(ACTIVE))
            return alpha * c * seen[carrier] + (1 - alpha) * value

        return call

    sites = [graph.site(name) for name in alphas]
    wanted = {name for site in sites for name in site.inputs}
    return graph.run(
        batch,
        overrides={site.node: override(site) for site in sites},
        watch=lambda values: seen.update({name: values[name] for name in wanted if name in values}),
    ).output


def random_alphas(graph, seed, *, share=0.6, whole=0.3, partly=0.15):
    """Return for every site with an activation: all units linear, or some; a few bend by halves."""
    generator = torch.Generator().manual_seed(seed)
    alphas, targets = {}, {}
    for site in graph.sites:
        if site.kind == "stream" or site.op == "product":
            continue
        draw = torch.rand(site.units, generator=generator)
        alpha = (draw < share).double()
        alpha[draw > 1 - partly] = 0.3
        if float(torch.rand((), generator=generator)) < whole:
            alpha[:] = 1.0
        alphas[site.name] = alpha.float()
        a, c = torch.randn(2, site.units, generator=generator)
        if site.kind == "gate":
            targets[site.name] = (torch.zeros(site.units), c)
        elif site.op in ("tanh", "sigmoid"):
            targets[site.name] = (a, c)
    return alphas, targets


def relative(got, expected):
    """Return the largest difference over the largest value."""
    got, expected = got.detach().double(), expected.detach().double()
    return float((got - expected).abs().max() / expected.abs().max())
