"""Worlds we know: simulators with ground truth, and how they are observed."""

from ._body_flow import (
    BodyFlowRun as BodyFlowRun,
    body_wake as body_wake,
    simulate_body_flow as simulate_body_flow,
)
from ._body_flow_config import BodyFlowConfig as BodyFlowConfig
from ._body_shapes import (
    AbstractBody as AbstractBody,
    EllipseBody as EllipseBody,
    SquareBody as SquareBody,
    StarBody as StarBody,
    outline as outline,
    smooth_mask as smooth_mask,
)
from ._brusselator import Brusselator as Brusselator
from ._calibrate import Calibration as Calibration, calibrate as calibrate
from ._cell_energy import Cells as Cells, cell_energy as cell_energy
from ._classical_time import (
    ClassicalTime as ClassicalTime,
    classical_time as classical_time,
)
from ._cycle_shapes import cycle_shapes as cycle_shapes
from ._cylinder_config import (
    CYLINDER_PRESETS as CYLINDER_PRESETS,
    CylinderConfig as CylinderConfig,
)
from ._cylinder_flow import CylinderFlow as CylinderFlow, FlowState as FlowState
from ._cylinder_grid import CylinderMesh as CylinderMesh, chebyshev as chebyshev
from ._cylinder_numbers import (
    WakeNumbers as WakeNumbers,
    bubble_length as bubble_length,
    growth_rate as growth_rate,
    wake_numbers as wake_numbers,
)
from ._cylinder_sample import WakeSampler as WakeSampler
from ._cylinder_wake import (
    CylinderRun as CylinderRun,
    cylinder_wake as cylinder_wake,
    simulate_cylinder as simulate_cylinder,
    wake_snapshots as wake_snapshots,
)
from ._diffusion import (
    DIRICHLET as DIRICHLET,
    NEUMANN as NEUMANN,
    diffusion as diffusion,
)
from ._double_gyre import DoubleGyre as DoubleGyre
from ._double_pendulum import DoublePendulum as DoublePendulum
from ._duffing import Duffing as Duffing
from ._elastic_rod import (
    ElasticRod as ElasticRod,
    RodState as RodState,
    Section as Section,
)
from ._fit_bending import BendingFit as BendingFit, fit_bending as fit_bending
from ._fitzhugh_nagumo import FitzHughNagumo as FitzHughNagumo
from ._glycolysis import GlycolyticOscillator as GlycolyticOscillator
from ._harmonic import Harmonic as Harmonic
from ._heat import Heat as Heat
from ._kepler import Kepler as Kepler
from ._kpp import KPP as KPP
from ._lorenz import Lorenz as Lorenz
from ._lotka_volterra import LotkaVolterra as LotkaVolterra
from ._n_link_pendulum import NLinkPendulum as NLinkPendulum
from ._observe import Observation as Observation
from ._pde_forms import (
    closed_form as closed_form,
    gaussian_bump as gaussian_bump,
    initial_field as initial_field,
    torus_vorticity as torus_vorticity,
)
from ._pde_truths import (
    pde_truth as pde_truth,
    truth_error as truth_error,
    truth_grid as truth_grid,
    truth_horizon as truth_horizon,
)
from ._penalised_flow import PenalisedFlow as PenalisedFlow
from ._pendulum import Pendulum as Pendulum
from ._rod_bending import BendingLaw as BendingLaw
from ._rod_contact import Contact as Contact, barrier as barrier
from ._rod_frames import (
    reference_twist as reference_twist,
    transport as transport,
)
from ._rod_rest import rest_rod as rest_rod
from ._rod_simulate import (
    RodRun as RodRun,
    rod_energy as rod_energy,
    rod_forces as rod_forces,
    rod_path as rod_path,
    simulate_rod as simulate_rod,
    stored_energy as stored_energy,
)
from ._rod_step import Boundary as Boundary
from ._selkov import Selkov as Selkov
from ._simulate import simulate as simulate
from ._slinky import (
    Slinky as Slinky,
    bar_distance as bar_distance,
    bar_ends as bar_ends,
    drop as drop,
    from_bars as from_bars,
    settled as settled,
    to_bars as to_bars,
)
from ._slinky_cases import (
    SLINKY_CASES as SLINKY_CASES,
    SlinkyCase as SlinkyCase,
    slinky_case as slinky_case,
)
from ._slinky_data import (
    bar_names as bar_names,
    bar_record as bar_record,
    bars_of as bars_of,
    is_bars as is_bars,
    read_bars as read_bars,
)
from ._slinky_energy import cycle_energy as cycle_energy
from ._slinky_rings import (
    Rings as Rings,
    from_rings as from_rings,
    pushed as pushed,
    to_rings as to_rings,
)
from ._slinky_rings_data import (
    flat_rings as flat_rings,
    ring_names as ring_names,
    ring_record as ring_record,
    rings_of as rings_of,
    unflat_rings as unflat_rings,
)
from ._spectral import etdrk4 as etdrk4, fourier_interpolate as fourier_interpolate
from ._spectral_2d import (
    navier_stokes_torus as navier_stokes_torus,
    torus_velocity as torus_velocity,
)
from ._spring_bodies import SpringBodies as SpringBodies
from ._spring_chain import (
    SpringChain as SpringChain,
    spring_forces as spring_forces,
    strains as strains,
)
from ._system import (
    AbstractSystem as AbstractSystem,
    check_constants as check_constants,
    choice as choice,
    constant as constant,
    count as count,
    system as system,
    words as words,
)
from ._van_der_pol import VanDerPol as VanDerPol
