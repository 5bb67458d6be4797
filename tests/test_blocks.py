"""Blocks and network: layers, order, shapes, and what a config may be."""

import pytest
import torch
from conftest import small_config
from torch import nn

import dip_blocks
from dip_blocks import (
    BLOG,
    BLOG_LOW_LR,
    PAPER,
    SECOND_READING,
    Connect,
    Down,
    OutConv,
    Recipe,
    Skip,
    UNet,
    Up,
)
from dip_parts.layers import padded


def kinds(block):
    return [type(layer).__name__ for layer in block]


def test_layers_stand_in_the_blogs_order():
    tail = ["BatchNorm2d", "LeakyReLU"]
    assert kinds(Down(3, 5, 3)) == ["Conv2d", "MaxPool2d", *tail, "Conv2d", *tail]
    assert kinds(Skip(3, 5, 1)) == ["Conv2d", *tail]
    assert kinds(Up(3, 5, 3).body) == ["BatchNorm2d", "Conv2d", *tail, "Conv2d", *tail]
    assert kinds(Connect(3, 5, 3)) == ["MaxPool2d", "Conv2d", *tail, "Conv2d", *tail, "Upsample"]
    assert kinds(OutConv(3, 1)) == ["Pointwise", "Sigmoid"]


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_kernels_padding_and_slope(kernel):
    up = Up(6, 4, kernel).body
    assert [layer.kernel_size for layer in up if isinstance(layer, nn.Conv2d)] == [
        (kernel, kernel),
        (1, 1),
    ]
    for block in (Down(3, 4, kernel), Skip(3, 4, kernel), Connect(3, 4, kernel), up):
        for layer in block:
            if isinstance(layer, nn.Conv2d):
                assert (
                    layer.padding == (layer.kernel_size[0] // 2,) * 2
                    and layer.padding_mode == "zeros"
                )
            if isinstance(layer, nn.LeakyReLU):
                assert layer.negative_slope == 0.01


def test_a_block_refuses_a_kind_that_there_is_not():
    with pytest.raises(KeyError):
        Down(3, 4, 3, dip_blocks.BLOGS_CHOICES | {"downsampling_method": "maxx"})


def test_shapes():
    x = torch.rand(1, 3, 16, 24)
    assert Down(3, 5, 3)(x).shape == (1, 5, 8, 12)
    assert Skip(3, 5, 1)(x).shape == (1, 5, 16, 24)
    assert Up(3, 5, 3)(x).shape == (1, 5, 32, 48)
    assert Connect(3, 5, 3)(x).shape == (1, 5, 16, 24)
    assert OutConv(3, 1)(x).shape == (1, 1, 16, 24)


def test_the_blogs_network():
    net = UNet(32, 1, BLOG.config)
    # Counted by hand from the layer list: conv c·o·k² + o, batch norm 2c.
    conv = lambda c, o, k: c * o * k * k + o  # noqa: E731
    down = [conv(c, 128, 3) + conv(128, 128, 3) + 4 * 128 for c in (32, 128, 128, 128, 128)]
    skip, connect = conv(128, 4, 1) + 2 * 4, 2 * conv(128, 128, 3) + 4 * 128
    up = 2 * 132 + conv(132, 128, 3) + conv(128, 128, 1) + 4 * 128
    expected = sum(down) + 5 * skip + connect + 5 * up + conv(128, 1, 1)
    assert sum(weight.numel() for weight in net.parameters()) == expected
    with torch.no_grad():
        out = net(torch.rand(1, 32, 128, 128))
    assert out.shape == (1, 1, 128, 128) and out.min() > 0 and out.max() < 1


def test_each_skip_leaves_after_the_down_block():
    net = UNet(4, 1, small_config())
    seen = {}
    for i in range(2):
        net.down[i].register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"down{i}", out)
        )
        net.skip[i].register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"skip{i}", (x[0], out))
        )
        net.up[i].body.register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"up{i}", x[0])
        )
    net.connect.register_forward_hook(lambda block, x, out: seen.__setitem__("connect", out))
    net(torch.rand(1, 4, 32, 32))
    for i in range(2):
        assert seen[f"skip{i}"][0] is seen[f"down{i}"]
        assert torch.equal(seen[f"up{i}"][:, -4:], seen[f"skip{i}"][1])
    assert torch.equal(seen["up1"][:, :8], seen["connect"])


@pytest.mark.parametrize("skips", [[0, 4], [4, 0], [0, 0]])
def test_zero_channels_mean_no_skip(skips):
    net = UNet(
        4,
        3,
        {
            **small_config(),
            "channels_skip": skips,
            "kernels_skip": [1 if n else None for n in skips],
        },
    )
    assert [block is None for block in net.skip] == [n == 0 for n in skips]
    out = net(torch.rand(1, 4, 32, 32))
    assert out.shape == (1, 3, 32, 32)
    out.mean().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_levels_of_different_widths():
    config = small_config(depth=3) | {
        "channels_down": [4, 6, 8],
        "channels_up": [5, 7, 9],
        "channels_skip": [1, 0, 2],
    }
    assert UNet(3, 1, config)(torch.rand(1, 3, 32, 32)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize("depth", range(1, 7))
def test_depth(depth):
    side = 2 ** (depth + 2)
    assert UNet(2, 1, small_config(depth, 4, 2))(torch.rand(1, 2, side, side)).shape == (
        1,
        1,
        side,
        side,
    )


@pytest.mark.parametrize("size", [(33, 47), (32, 31), (9, 100), (100, 3), (64, 64)])
def test_sizes_that_do_not_divide_are_padded_and_cropped(size):
    assert UNet(4, 1, small_config())(torch.rand(1, 4, *size)).shape == (1, 1, *size)


def test_padding_leaves_sizes_that_divide_alone():
    net = UNet(4, 1, small_config())
    z = torch.rand(1, 4, 32, 40)
    assert padded(z, net.depth, net.connect is not None) is z


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1)])
def test_a_picture_too_small_for_its_depth_is_refused(size):
    with pytest.raises(
        ValueError, match=rf"{size[0]}×{size[1]} is too small for a network of depth 2.*more than 8"
    ):
        UNet(4, 1, small_config())(torch.rand(1, 4, *size))


def test_the_blogs_network_refuses_64_and_takes_65():
    net = UNet(32, 1, BLOG.config)
    with pytest.raises(ValueError, match="64×64 is too small"):
        net(torch.rand(1, 32, 64, 64))
    with torch.no_grad():
        assert net(torch.rand(1, 32, 65, 64)).shape == (1, 1, 65, 64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels_up": [8]}, "one length"),
        ({key: [] for key in dip_blocks.CONFIG_LISTS}, "one length"),
        ({"channels_down": [8, -8]}, r"channels_down\[1\] must be 1 or more, not -8"),
        ({"channels_up": [0, 8]}, r"channels_up\[0\] must be 1 or more"),
        ({"channels_skip": [4, -1]}, r"channels_skip\[1\] must be 0"),
        ({"channels_down": [8.0, 8]}, "whole number"),
        ({"kernels_down": [3, 4]}, r"kernels_down\[1\] must be odd"),
        ({"kernels_up": [2, 3]}, "even kernel"),
        ({"kernels_skip": [1, 0]}, "odd and positive"),
        ({"kernels_skip": [1, None]}, "whole number"),
        ({"upsampling_method": "bicubic"}, "bilinear, nearest, not 'bicubic'"),
        ({"upsampling": "nearest"}, "unknown entries: upsampling"),
        ({"skip_from": "middle"}, "skip_from must be one of output, input, not 'middle'"),
        (
            {"downsampling_method": "wavelet"},
            "downsampling_method must be one of max, stride, average, lanczos",
        ),
        ({"connect": "yes"}, "connect must be one of True, False"),
        (
            {"negative_slope": 1.0},
            "negative_slope must be a number, 0 or above and below 1, not 1.0",
        ),
    ],
)
def test_a_wrong_config_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        UNet(4, 1, {**small_config(), **change})


def test_a_config_that_lacks_something():
    config = small_config()
    del config["kernels_up"], config["upsampling_method"]
    with pytest.raises(ValueError, match="lacks kernels_up, upsampling_method"):
        UNet(4, 1, config)


def test_the_blogs_recipe_is_the_blogs():
    assert BLOG.config == {
        "channels_down": [128] * 5,
        "channels_up": [128] * 5,
        "channels_skip": [4] * 5,
        "kernels_down": [3] * 5,
        "kernels_up": [3] * 5,
        "kernels_skip": [1] * 5,
        "upsampling_method": "bilinear",
    }
    assert (BLOG.z_channels, BLOG.z_scale, BLOG.sigma_p) == (32, 0.1, 1 / 30)
    assert (BLOG.iterations, BLOG.lr, BLOG.lr_decay) == (11_000, 0.001, 0.9)
    assert Recipe(config=BLOG.config, lr=0.0001) == BLOG_LOW_LR


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": -1e-3}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"iterations": -1}, "iterations must be 0 or more"),
        ({"iterations": 2.5}, "iterations must be a whole number, not 2.5"),
        ({"z_channels": 32.0}, "z_channels must be a whole number"),
        ({"sigma_p": -0.1}, "sigma_p"),
        ({"z_channels": 0}, "z_channels"),
        ({"z_scale": 0}, "z_scale"),
        ({"jump": 1}, "jump must be above 1"),
        ({"lr_decay": 1.1}, "lr_decay"),
    ],
)
def test_a_wrong_recipe_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        Recipe(config=small_config(), **change)


# --------------------------------------------------------------------------------------
# The other choices
# --------------------------------------------------------------------------------------


def test_the_second_reading_has_as_many_weights_as_its_blocks():
    """Counted by hand: convolutions with bias, two numbers a channel for each norm."""

    def conv(channels_in, channels_out, kernel):
        return channels_in * channels_out * kernel**2 + channels_out

    down = conv(32, 128, 3) + 4 * conv(128, 128, 3) + 5 * (conv(128, 128, 3) + 4 * 128)
    skip = conv(32, 4, 1) + 4 * conv(128, 4, 1) + 5 * 2 * 4
    up = 5 * (2 * 132 + conv(132, 128, 3) + conv(128, 128, 1) + 4 * 128)
    net = UNet(32, 1, PAPER.config)
    assert (
        sum(weight.numel() for weight in net.parameters())
        == down + skip + up + conv(128, 1, 1)
        == 2_217_573
    )


def test_in_the_second_reading_skips_leave_before_and_convolutions_follow_the_upsampling():
    net = UNet(4, 1, {**small_config(), **SECOND_READING})
    seen = {}
    for i in range(2):
        net.down[i].register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"down{i}", x[0])
        )
        net.skip[i].register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"skip{i}", (x[0], out))
        )
        net.up[i].body.register_forward_hook(
            lambda block, x, out, i=i: seen.__setitem__(f"body{i}", x[0])
        )
    z = torch.rand(1, 4, 32, 32)
    net(z)
    assert net.connect is None and seen["skip0"][0] is z
    for i in range(2):
        assert seen[f"skip{i}"][0] is seen[f"down{i}"]
        assert torch.equal(seen[f"body{i}"][:, -4:], seen[f"skip{i}"][1])
    assert seen["body0"].shape[-2:] == (32, 32), "a 3×3 convolution at full resolution"


def one_by_one():
    """Every choice on its own, on either reading."""
    for base in ({}, SECOND_READING):
        for key, values in dip_blocks.CHOICES.items():
            for value in values if isinstance(values, tuple) else (0.2,):
                yield {**base, key: value}


@pytest.mark.parametrize("choices", list(one_by_one()), ids=str)
@pytest.mark.parametrize("skips", [[4, 4, 4], [0, 0, 0], [0, 4, 0]], ids=str)
def test_every_choice_works_on_either_reading(choices, skips):
    config = {
        **small_config(3),
        **choices,
        "channels_skip": skips,
        "kernels_skip": [1 if n else None for n in skips],
    }
    net = UNet(4, 1, config)
    out = net(torch.rand(1, 4, 37, 32))
    assert out.shape == (1, 1, 37, 32) and ((out > 0) & (out < 1)).all()
    out.mean().backward()
    assert all(weight.grad is not None for weight in net.parameters())


@pytest.mark.parametrize("depth", range(1, 7))
def test_depth_of_the_second_reading(depth):
    side = 2 ** (depth + 1)
    assert (
        UNet(2, 1, {**small_config(depth, 4, 2), **SECOND_READING})(
            torch.rand(1, 2, side, side)
        ).shape[-1]
        == side
    )


def test_every_choice_changes_what_the_network_draws():
    z = torch.rand(1, 4, 32, 32)

    def drawn(**choices):
        torch.manual_seed(0)
        with torch.no_grad():
            return UNet(4, 1, {**small_config(), **choices})(z)

    blogs = drawn()
    for key, values in dip_blocks.CHOICES.items():
        for value in values[1:] if isinstance(values, tuple) else (0.2,):
            assert not torch.allclose(drawn(**{key: value}), blogs, atol=1e-4), (key, value)
        assert torch.equal(drawn(**{key: dip_blocks.BLOGS_CHOICES[key]}), blogs)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 2, 1, 5), (2, 1, 7, 3)])
def test_upsampling_from_shifts_is_bilinear_upsampling(shape):
    """What a GPU uses, forward and back, against PyTorch's own."""
    x = torch.rand(shape, dtype=torch.double, requires_grad=True)
    weight = torch.rand(*shape[:2], 2 * shape[2], 2 * shape[3], dtype=torch.double)
    gradients = []
    for enlarge in (dip_blocks.Upsample("bilinear"), dip_blocks.Upsample.from_shifts):
        gradients.append(torch.autograd.grad((enlarge(x) * weight).sum(), x)[0])
        assert torch.allclose(
            enlarge(x), torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
        )
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_reflection_is_pytorchs_where_that_works(kernel):
    torch.manual_seed(0)
    ours = dip_blocks.Reflecting(3, 4, kernel, 2, kernel // 2).double()
    theirs = torch.nn.Conv2d(3, 4, kernel, 2, kernel // 2, padding_mode="reflect").double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(1, 3, 9, 6, dtype=torch.double, requires_grad=True)
    assert torch.allclose(ours(x), theirs(x))
    gradients = [torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (ours, theirs)]
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("size", [(32, 128), (20, 100), (128, 17)])
def test_a_long_strip_in_the_second_reading(size):
    """Its deepest level is one pixel high, which leaves nothing to mirror."""
    assert (
        UNet(4, 1, {**small_config(5), **SECOND_READING})(torch.rand(1, 4, *size)).shape[-2:]
        == size
    )


def test_lanczos_keeps_what_is_flat_or_slow_and_drops_what_is_too_fine():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    flat = torch.full((1, 2, 64, 64), 0.7)
    assert torch.allclose(dip_blocks.Lanczos()(flat), torch.full((1, 2, 32, 32), 0.7), atol=1e-6)
    ramp = (x / 64)[None, None]
    inside = dip_blocks.Lanczos()(ramp)[..., 4:-4, 4:-4]
    assert torch.allclose(
        inside, torch.nn.functional.avg_pool2d(ramp, 2)[..., 4:-4, 4:-4], atol=1e-5
    )
    checks = ((x + y) % 2)[None, None]
    assert (dip_blocks.Lanczos()(checks)[..., 4:-4, 4:-4] - 0.5).abs().max() < 1e-5


def test_a_last_upsampling_is_what_limits_the_blogs_reading():
    """Without the sigmoid the blog's output is an enlarged picture; the second reading's is not."""
    u = torch.nn.functional.interpolate(
        torch.eye(16, dtype=torch.double)[None, None], scale_factor=(2, 1), mode="bilinear"
    )[0, 0]
    beyond = torch.eye(32, dtype=torch.double) - u @ torch.linalg.pinv(
        u
    )  # what no enlarging reaches
    for choices, enlarged in (({}, True), (SECOND_READING, False)):
        torch.manual_seed(0)
        with torch.no_grad():
            logit = torch.logit(
                UNet(4, 1, {**small_config(), **choices})(torch.rand(1, 4, 32, 32))[0, 0].double()
            )
        assert (float((beyond @ logit).abs().max()) < 1e-5) == enlarged
