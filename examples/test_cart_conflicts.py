"""A cart, and tests of what becomes of it when the network is cut in the middle of shopping.

Run it: ``pytest examples/test_cart_conflicts.py``. The fixture ``dynamokv_ring`` comes with
dynamokv. Its members are real ones, in one process and in virtual time.
"""

from collections.abc import Callable

import pytest

from dynamokv import Bucket
from dynamokv.testing import Ring, RingFactory, SimulatedNode

Cart = dict[str, bool]
"""Each item that was ever put into the cart, and whether it is still wanted. What is removed leaves
a mark, so that a cart that never heard of the removal does not bring it back."""

Merge = Callable[[list[Cart]], Cart]


def merged(carts: list[Cart]) -> Cart:
    """Everything that anybody added, without what anybody removed."""
    result: Cart = {}
    for cart in carts:
        for item, wanted in cart.items():
            result[item] = result.get(item, True) and wanted
    return result


def newest(carts: list[Cart]) -> Cart:
    """Wrong: whoever was last decides, and the rest is forgotten."""
    return carts[0]


class Shop:
    """The application: one instance, at its own member of the ring. It sells in a partition too."""

    def __init__(self, node: SimulatedNode, merge: Merge) -> None:
        self._carts: Bucket = node.bucket("carts", resolver=merge, consistency="ONE")

    def add(self, customer: str, item: str) -> None:
        self._carts.update(customer, lambda cart: {**cart, item: True}, default={})

    def remove(self, customer: str, item: str) -> None:
        self._carts.update(customer, lambda cart: {**cart, item: False}, default={})

    def checkout(self, customer: str) -> list[str]:
        """Asks every owner: whatever one instance took down has to be on the bill."""
        cart: Cart = self._carts.get(customer, {}, consistency="ALL")
        return sorted(item for item, wanted in cart.items() if wanted)


def shop_through_a_partition(ring: Ring, merge: Merge) -> list[str]:
    """Two instances serve one customer, and do not hear of each other for a while."""
    one, other = Shop(ring["n1"], merge), Shop(ring["n2"], merge)
    one.add("ada", "tea")
    ring.advance(1)  # time to reach all copies

    ring.partition(["n1"], ["n2", "n3"])
    one.add("ada", "milk")
    ring.advance(60)
    other.add("ada", "bread")
    other.remove("ada", "tea")

    ring.heal()
    assert other.checkout("ada") == one.checkout("ada")
    return other.checkout("ada")


@pytest.mark.dynamokv_seeds(10)
def test_a_partition_loses_nothing(dynamokv_ring: RingFactory) -> None:
    assert shop_through_a_partition(dynamokv_ring(3), merged) == ["bread", "milk"]


def test_the_newest_cart_is_not_enough(dynamokv_ring: RingFactory) -> None:
    """The milk is gone: this is why a cart needs a merge of its own."""
    assert shop_through_a_partition(dynamokv_ring(3), newest) == ["bread"]


def test_a_cart_survives_a_power_cut(dynamokv_ring: RingFactory) -> None:
    ring = dynamokv_ring(3)
    shop = Shop(ring["n1"], merged)
    shop.add("ada", "tea")
    ring.crash("n1")
    ring.heal()
    assert shop.checkout("ada") == ["tea"]
