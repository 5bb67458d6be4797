"""The two readings of the supplement's figure, drawn: what is drawn is what the network does."""

import re
from xml.etree import ElementTree

import pytest
import torch
from dip_book.show import readings

import dip_blocks

SIZE = 128
LATE = {**dip_blocks.BLOG.config, "skip_from": "input"}


def computed(config, size=SIZE):
    """(kernel, pixels a side of what leaves) of every convolution with neighbours, in order."""
    found, net = [], dip_blocks.UNet(32, 1, config)
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d) and not name.startswith("skip"):
            layer.register_forward_hook(
                lambda layer, inputs, output: found.append((layer.kernel_size[0], output.shape[-1]))
            )
    with torch.no_grad():
        net(torch.rand(1, 32, size, size))
    return [entry for entry in found if entry[0] > 1]


@pytest.mark.parametrize(
    "config", [*readings.READINGS.values(), LATE], ids=["blog", "second", "late"]
)
def test_the_drawing_has_the_networks_convolutions(config):
    drawn = [
        (op.kernel, op.after)
        for block in readings.blocks(config, SIZE)
        for op in block.operations
        if op.kernel > 1
    ]
    assert drawn == computed(config)


@pytest.mark.parametrize("config", readings.READINGS.values(), ids=["blog", "second"])
def test_what_leaves_a_block_is_what_the_network_says(config):
    net, left = dip_blocks.UNet(32, 1, config), {}
    for kind, parts in (("d", net.down), ("u", net.up)):
        for i, part in enumerate(parts, 1):
            part.register_forward_hook(
                lambda part, inputs, output, name=f"{kind}{i}": left.update(
                    {name: tuple(output.shape[1:])}
                )
            )
    with torch.no_grad():
        net(torch.rand(1, 32, SIZE, SIZE))
    if config is dip_blocks.BLOG.config:  # there the last upsampling changes places with the 1×1
        left["u1"] = (left["u1"][0], SIZE, SIZE)
    drawn = {
        block.name: (block.channels, block.side, block.side)
        for block in readings.blocks(config, SIZE)
        if block.level
    }
    assert drawn == left


def test_the_counter_counts():
    blog, second = readings.READINGS.values()
    assert readings.in_the_decoder(blog, 256) == (0, 5)
    assert readings.in_the_decoder(second, 256) == (1, 5)


def test_a_level_in_words():
    blog, second = readings.READINGS.values()
    assert readings.says(blog, 1, 256) == "s₁ leaves after d₁, at 128²; the 3×3 of u₁ works at 128²"
    assert (
        readings.says(second, 1, 256) == "s₁ leaves before d₁, at 256²; the 3×3 of u₁ works at 256²"
    )


@pytest.mark.parametrize("drawing", [readings.two_readings(), readings.assembled()])
def test_the_drawing_stands_alone(drawing):
    html = drawing._repr_html_()
    assert html == drawing._repr_html_() and "https://" not in html
    assert html.count("<script>") == html.count("</script>") == 1
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        root = ElementTree.fromstring(svg)  # well-formed, and nothing outside its frame
        _, _, width, height = map(float, root.get("viewBox").split())
        for rect in root.iter("rect"):
            x = float(rect.get("x", 0))
            assert x >= 0 and x + float(rect.get("width")) <= width
            assert float(rect.get("y", 0)) + float(rect.get("height")) <= height
    levels = {int(level) for level in re.findall(r'data-level="(\d+)"', html)}
    assert levels == {1, 2, 3, 4, 5} and len(drawing.data["levels"]) == 5


def test_only_the_second_reading_frames_a_convolution():
    framed = [
        readings.Drawing({title: config})._repr_html_().count('stroke-width="2"/>')
        for title, config in readings.READINGS.items()
    ]
    assert framed == [0, 1]


def test_the_block_at_the_bottom_can_be_dimmed_with_the_levels():
    """Only the blog's reading has one; it belongs to no level."""
    framed = [
        readings.Drawing({title: config})._repr_html_().count('<g class="r-connect">')
        for title, config in readings.READINGS.items()
    ]
    assert framed == [1, 0]


def test_a_network_without_skips_has_no_arrows():
    config = {**dip_blocks.BLOG.config, "channels_skip": [0] * 5, "kernels_skip": [None] * 5}
    svg = readings.Drawing({"no skips": config})._repr_html_().split('<div class="dip-key">')[0]
    assert 'class="r-skip"' not in svg


def test_two_of_one_figure_on_a_page_are_chosen_each_for_itself(browser):
    html = readings.two_readings()._repr_html_()
    page = browser.new_page()
    page.set_content(f"<!doctype html><title>two</title><main>{html}{html}</main>")
    views = page.locator(".dip-view")
    chosen = "(view) => view.querySelector('input:checked')?.value"
    views.nth(0).locator("input").nth(1).check()
    assert [view.evaluate(chosen) for view in views.all()] == ["1", "0"]
    page.close()
