"""Goal: what a seed once found stays found. Each test is the smallest life that showed a defect, named for it."""

from holdfast_testkit.sim_clock import run_virtual
from holdfast_testkit.sim_options import SimOptions
from simulation.faults import CsmsFaults, Faults, drawn
from simulation.judging import judge
from simulation.story import Lived, live, scratch_folder, settle
from simulation.world import BRIDGES, SimWorld


def test_a_copy_is_read_on_after_a_hole_could_not_be_fetched() -> None:
    """The hole came while the link was cut; the reader ended for good at its first failure, and said nothing."""
    faults = Faults(
        seed=8,
        bus=SimOptions(seed=8, copy_loss_ratio=0.05),
        cut_every_ms=8_000,
        kill_every_ms=40_000,
    )
    assert judge(live(faults)) == []


def test_a_site_with_a_new_disk_gets_back_what_the_cloud_had_sent_it() -> None:
    """Its copy of DOWNLINK took over the old one's position: no rules, no commands, and nobody saw it."""
    assert judge(live(Faults(seed=1, wipes=1))) == []


def test_a_life_that_was_over_before_the_cloud_heard_of_it_leaves_nothing_open() -> None:
    """Seed 33: the disk was lost 84 ms after its first entry."""
    assert judge(live(drawn(33))) == []


def test_what_was_lost_on_the_way_down_is_fetched_again() -> None:
    faults = Faults(seed=3, bus=SimOptions(seed=3, down_copy_loss_ratio=0.3))
    assert judge(live(faults)) == []


def test_a_site_that_is_to_be_let_go_as_it_is_claimed_is_let_go() -> None:
    """Its task was cancelled before its first step, so the site was held for ever by one who did not serve it."""
    faults = Faults(seed=12, cloud_server_crash_every_ms=3_000, csms=CsmsFaults())
    assert judge(live(faults, safety_ms=20_000)) == []


def test_a_connection_that_ends_while_its_site_is_let_go_ends_nothing_else() -> None:
    """It asked for the next connection of a group that was shutting down, and the whole bridge died of it."""
    faults = Faults(
        seed=1,
        bus=SimOptions(seed=1, ack_loss_ratio=0.05),
        csms=CsmsFaults(silent_every_ms=8_000, lost_answer_ratio=0.1),
    )
    assert judge(live(faults)) == []


def test_who_takes_over_a_site_where_nothing_happens_knows_how_far_it_was_read() -> None:
    """It waited for a next entry of the journal to tell, and the CSMS was never caught up."""

    async def main() -> Lived:
        with scratch_folder() as folder:
            faults = Faults(seed=1, csms=CsmsFaults())
            async with SimWorld.open(faults, folder) as world:
                assert (await settle(world)).unsettled == ()
                for name in BRIDGES:
                    world.processes[f"cloud.csms-{name}"].kill()
                return await settle(world)

    assert judge(run_virtual(main())) == []
