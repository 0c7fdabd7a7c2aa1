"""Where an equation or a number comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Source:
    """A place in the literature, carried by every component as `source`.

    **Arguments:** `key`: the work's key, author and year, one of `WORKS`; `where`:
    the equation, table or section there.

    ```python
    >>> from pendula._source import Source
    >>> str(Source("Lorenz1963", "equations 25-27"))
    'Lorenz1963, equations 25-27'

    ```
    """

    key: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.key}, {self.where}" if self.where else self.key


WORKS: dict[str, str] = {
    "Agrawal2022": "Agrawal et al. 2022, Subthreshold operation of SONOS analog memory "
    "to enable accurate low-power neural network inference, IEDM",
    "Amos2017": "Amos, Xu, Kolter 2017, Input convex neural networks, arXiv:1609.07152",
    "Andersson2007": "Andersson, Soderberg, Bjorklund 2007, Tribology International "
    "40, 580-587",
    "Azencot2020": "Azencot, Erichson, Lin, Mahoney 2020, Forecasting sequential data "
    "using consistent Koopman autoencoders, arXiv:2003.02236",
    "Barber2021": "Barber, Candes, Ramdas, Tibshirani 2021, Predictive inference with "
    "the jackknife+, arXiv:1905.02928",
    "Blanke2024": "Blanke and Lelarge 2024, Interpretable meta-learning of physical "
    "systems, arXiv:2312.00477",
    "Brunton2016": "Brunton, Proctor, Kutz 2016, PNAS 113, 3932-3937",
    "Chen2018": "Chen, Rubanova, Bettencourt, Duvenaud 2018, Neural ordinary "
    "differential equations, arXiv:1806.07366",
    "Cho2014": "Cho et al. 2014, Learning phrase representations using RNN "
    "encoder-decoder for statistical machine translation, arXiv:1406.1078",
    "Daniels2010": "Daniels, Velikova 2010, Monotone and partially monotone neural "
    "networks, IEEE Transactions on Neural Networks 21, 906-917",
    "Daniels2015": "Daniels, Nemenman 2015, Efficient inference of parsimonious "
    "phenomenological models of cellular dynamics, PLoS ONE 10, e0119821",
    "Datar2024": "Datar, Kapoor, Chandra, Sun, Bolager, Burak, Veselovska, Fornasier, "
    "Dietrich 2024, Fast training of accurate physics-informed neural networks without "
    "gradient descent, arXiv:2405.20836",
    "De2020": "De, Smith 2020, Batch normalization biases residual blocks towards the "
    "identity function in deep networks, arXiv:2002.10444",
    "DiGuglielmo2021": "Di Guglielmo et al. 2021, A reconfigurable neural network ASIC "
    "for detector front-end data compression at the HL-LHC, arXiv:2105.01683",
    "Elman1990": "Elman 1990, Finding structure in time, Cognitive Science 14, 179-211",
    "Erichson2019": "Erichson, Muehlebach, Mahoney 2019, Physics-informed autoencoders "
    "for Lyapunov-stable fluid flow prediction, arXiv:1905.10866",
    "Erichson2020": "Erichson, Mathelin, Yao, Brunton, Mahoney, Kutz 2020, Shallow "
    "neural networks for fluid flow reconstruction with limited sensors, "
    "arXiv:1902.07358",
    "Erichson2021": "Erichson, Azencot, Queiruga, Hodgkinson, Mahoney 2021, Lipschitz "
    "recurrent neural networks, arXiv:2006.12070",
    "Facco2017": "Facco, d'Errico, Rodriguez, Laio 2017, Scientific Reports 7, 12140",
    "Fermi1955": "Fermi, Pasta, Ulam 1955, Studies of nonlinear problems, Los Alamos "
    "report LA-1940",
    "Fisher1937": "Fisher 1937, Annals of Eugenics 7, 355-369",
    "FitzHugh1961": "FitzHugh 1961, Biophysical Journal 1, 445-466",
    "Freedman1983": "Freedman, Lane 1983, A nonstochastic interpretation of reported "
    "significance levels, Journal of Business & Economic Statistics 1, 292-298",
    "Gardiner2009": "Gardiner 2009, Stochastic Methods, 4th ed., Springer",
    "Gerstner2014": "Gerstner, Kistler, Naud, Paninski 2014, Neuronal Dynamics, "
    "Cambridge University Press",
    "Gneiting2007": "Gneiting, Raftery 2007, Strictly proper scoring rules, "
    "prediction, and estimation, J. Am. Stat. Assoc. 102, 359-378",
    "Goodfellow2016": "Goodfellow, Bengio, Courville 2016, Deep Learning, MIT Press",
    "Greydanus2019": "Greydanus, Dzamba, Yosinski 2019, Hamiltonian neural networks, "
    "arXiv:1906.01563",
    "Guckenheimer1983": "Guckenheimer, Holmes 1983, Nonlinear Oscillations, Dynamical "
    "Systems, and Bifurcations of Vector Fields, Springer",
    "Haber2017": "Haber, Ruthotto 2017, Stable architectures for deep neural networks, "
    "arXiv:1705.03341",
    "Hairer1993": "Hairer, Norsett, Wanner 1993, Solving Ordinary Differential "
    "Equations I, 2nd ed., Springer",
    "Hairer2006": "Hairer, Lubich, Wanner 2006, Geometric Numerical Integration, 2nd "
    "ed., Springer",
    "He2015": "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, "
    "arXiv:1502.01852",
    "He2016": "He, Zhang, Ren, Sun 2016, Identity mappings in deep residual networks, "
    "arXiv:1603.05027",
    "Helfrich2018": "Helfrich, Willmott, Ye 2018, Orthogonal recurrent neural networks "
    "with scaled Cayley transform, arXiv:1707.09520",
    "Hinton2022": "Hinton 2022, The forward-forward algorithm: some preliminary "
    "investigations, arXiv:2212.13345",
    "Hochreiter1997": "Hochreiter, Schmidhuber 1997, Long short-term memory, Neural "
    "Computation 9, 1735-1780",
    "Holmes2014": "Holmes, Borum, Moore, Plaut, Dillard 2014, Equilibria and "
    "instabilities of a Slinky: discrete model, International Journal of Non-Linear "
    "Mechanics 65, 236-244",
    "Immer2021": "Immer, Korzepa, Bauer 2021, Improving predictions of Bayesian neural "
    "nets via local linearization, arXiv:2008.08400",
    "Ioffe2015": "Ioffe, Szegedy 2015, Batch normalization, arXiv:1502.03167",
    "Jaeger2001": "Jaeger 2001, The 'echo state' approach to analysing and training "
    "recurrent neural networks, GMD report 148",
    "Jagtap2020": "Jagtap, Kawaguchi, Karniadakis 2020, Adaptive activation functions "
    "accelerate convergence in deep and physics-informed neural networks, "
    "arXiv:1906.01170",
    "Jazwinski1970": "Jazwinski 1970, Stochastic Processes and Filtering Theory, "
    "Academic Press",
    "Joshi2020": "Joshi et al. 2020, Accurate deep neural network inference using "
    "computational phase-change memory, Nature Communications 11, 2473",
    "Kang2024": "Kang, Oh, Hong, Park 2024, PIG: physics-informed Gaussians as "
    "adaptive parametric mesh representations, arXiv:2412.05994",
    "Kidger2020": "Kidger, Morrill, Foster, Lyons 2020, Neural controlled differential "
    "equations for irregular time series, arXiv:2005.08926",
    "Kidger2022": "Kidger 2022, On neural differential equations, arXiv:2202.02435",
    "Kingma2015": "Kingma, Ba 2015, Adam: a method for stochastic optimization, "
    "arXiv:1412.6980",
    "Kirchmeyer2022": "Kirchmeyer et al. 2022, Generalizing to new physical systems "
    "via context-informed dynamics model, arXiv:2202.01889",
    "Krishnapriyan2021": "Krishnapriyan, Gholami, Zhe, Kirby, Mahoney 2021, "
    "Characterizing possible failure modes in physics-informed neural networks, "
    "arXiv:2109.01050",
    "Kvaerno2004": "Kvaerno 2004, Singly diagonally implicit Runge-Kutta methods with "
    "an explicit first stage, BIT 44, 489-502",
    "Laborieux2024": "Laborieux, Zenke 2024, Improving equilibrium propagation without "
    "weight symmetry through Jacobian homeostasis, arXiv:2309.02214",
    "Landau1976": "Landau, Lifshitz 1976, Mechanics, 3rd ed., Butterworth-Heinemann",
    "LeVeque2007": "LeVeque 2007, Finite Difference Methods for Ordinary and Partial "
    "Differential Equations, SIAM",
    "Lee2023": "Lee, Barber, Willett 2023, Distribution-free inference with "
    "hierarchical data, arXiv:2306.06342",
    "LezcanoCasado2019": "Lezcano-Casado, Martinez-Rubio 2019, Cheap orthogonal "
    "constraints in neural networks, arXiv:1901.08428",
    "Li2020": "Li et al. 2020, Incremental potential contact, ACM Transactions on "
    "Graphics 39, 49",
    "Li2023": "Li, Wang, Roychowdhury, Jawed 2023, Physical Review Letters 131, "
    "067301, arXiv:2301.00957",
    "Lim2021": "Lim, Erichson, Hodgkinson, Mahoney 2021, Noisy recurrent neural "
    "networks, arXiv:2102.04877",
    "Lin2023": "Lin, Wang, Li et al. 2023, Resistive memory-based zero-shot liquid "
    "state machine for multimodal event data learning, arXiv:2307.00771",
    "Lorenz1963": "Lorenz 1963, Journal of the Atmospheric Sciences 20, 130-141",
    "Lutter2019": "Lutter, Ritter, Peters 2019, Deep Lagrangian networks, "
    "arXiv:1907.04490",
    "Ma2023": "Ma, Chen, Deng, Tenenbaum, Du, Gan, Matusik 2023, Learning neural "
    "constitutive laws from motion observations, arXiv:2304.14369",
    "Maass2002": "Maass, Natschlager, Markram 2002, Real-time computing without stable "
    "states, Neural Computation 14, 2531-2560",
    "MacKay1992": "MacKay 1992, Neural Computation 4, 415-447",
    "Miyato2018": "Miyato, Kataoka, Koyama, Yoshida 2018, Spectral normalization for "
    "generative adversarial networks, arXiv:1802.05957",
    "Momeni2023": "Momeni, Rahmani, Mallejac, del Hougne, Fleury 2023, "
    "Backpropagation-free training of deep physical neural networks, Science 382, "
    "1297-1303",
    "Nandakumar2019": "Nandakumar et al. 2019, Phase-change memory models for deep "
    "learning training and inference, ICECS",
    "Norcliffe2020": "Norcliffe, Bodnar, Day, Simidjievski, Lio 2020, On second order "
    "behaviour in augmented neural ODEs, arXiv:2006.07220",
    "Ortiz2023": "Ortiz, Guttag, Dalca 2023, Magnitude invariant parametrizations "
    "improve hypernetwork learning, arXiv:2304.07645",
    "Orvieto2023": "Orvieto et al. 2023, Resurrecting recurrent neural networks for "
    "long sequences, arXiv:2303.06349",
    "Prigogine1968": "Prigogine, Lefever 1968, Journal of Chemical Physics 48, "
    "1695-1700",
    "Queiruga2020": "Queiruga, Erichson, Taylor, Mahoney 2020, Continuous-in-depth "
    "neural networks, arXiv:2008.02389",
    "Queiruga2021": "Queiruga, Erichson, Hodgkinson, Mahoney 2021, Stateful ODE-Nets "
    "using basis function expansions, arXiv:2106.10820",
    "Rasmussen2006": "Rasmussen, Williams 2006, Gaussian Processes for Machine "
    "Learning, MIT Press",
    "Rusch2021": "Rusch, Mishra 2021, Coupled oscillatory recurrent neural network "
    "(coRNN), arXiv:2010.00951",
    "Rusch2022": "Rusch, Mishra, Erichson, Mahoney 2022, Long expressive memory for "
    "sequence modeling, arXiv:2110.04744",
    "Sarkka2019": "Sarkka, Solin 2019, Applied Stochastic Differential Equations, "
    "Cambridge University Press",
    "Selkov1968": "Selkov 1968, European Journal of Biochemistry 4, 79-86",
    "Shadden2005": "Shadden, Lekien, Marsden 2005, Physica D 212, 271-304",
    "Spall1992": "Spall 1992, Multivariate stochastic approximation using a "
    "simultaneous perturbation gradient approximation, IEEE Transactions on Automatic "
    "Control 37, 332-341",
    "Tancik2020": "Tancik et al. 2020, Fourier features let networks learn high "
    "frequency functions in low dimensional domains, arXiv:2006.10739",
    "Triggs2000": "Triggs, McLauchlan, Hartley, Fitzgibbon 2000, Bundle adjustment: a "
    "modern synthesis, LNCS 1883",
    "VanDerPol1926": "Van der Pol 1926, Philosophical Magazine 2, 978-992",
    "VanDerSchaft2014": "Van der Schaft, Jeltsema 2014, Port-Hamiltonian systems "
    "theory: an introductory overview, Foundations and Trends in Systems and Control 1",
    "Volterra1926": "Volterra 1926, Nature 118, 558-560",
    "Wan2022": "Wan et al. 2022, A compute-in-memory chip based on resistive random-"
    "access memory, Nature 608, 504-512",
    "Wang2021": "Wang, Teng, Perdikaris 2021, Understanding and mitigating gradient "
    "flow pathologies in physics-informed neural networks, arXiv:2001.04536",
    "Wang2022": "Wang, Wang, Seidman, Perdikaris 2022, Random weight factorization "
    "improves the training of continuous neural representations, arXiv:2210.01274",
    "Wang2023": "Wang 2023, thesis, University of California, Los Angeles",
    "Wang2023pinn": "Wang, Sankaran, Wang, Perdikaris 2023, An expert's guide to "
    "training physics-informed neural networks, arXiv:2308.08468",
    "Wang2024": "Wang, Li, Chen, Perdikaris 2024, PirateNets: physics-informed deep "
    "learning with residual adaptive networks, arXiv:2402.00326",
    "Wright2022": "Wright, Onodera, Stein, Wang, Schachter, Hu, McMahon 2022, Deep "
    "physical neural networks trained with backpropagation, Nature 601, 549-555",
    "Wu2018": "Wu, He 2018, Group normalization, arXiv:1803.08494",
    "Yin2021": "Yin et al. 2021, Augmenting physical models with deep networks for "
    "complex dynamics forecasting, arXiv:2010.04456",
    "Zagoruyko2016": "Zagoruyko, Komodakis 2016, Wide residual networks, "
    "arXiv:1605.07146",
    "Zhang2019": "Zhang, Yao, Gholami, Keutzer, Gonzalez, Biros, Mahoney 2019, "
    "ANODEV2: a coupled neural ODE evolution framework, arXiv:1906.04596",
    "Zhong2020": "Zhong, Dey, Chakraborty 2020, Dissipative SymODEN, arXiv:2002.08860",
}
"""Every work that a component names, in one line each."""


def cite(source: Source) -> str:
    """The work in words, with the place in it.

    ```python
    >>> from pendula._source import Source, cite
    >>> cite(Source("Volterra1926", "pages 558-560"))
    'Volterra 1926, Nature 118, 558-560 (pages 558-560)'

    ```
    """
    work = WORKS[source.key]
    return f"{work} ({source.where})" if source.where else work


def citations(sources: Iterable[Source]) -> list[str]:
    """One line a work, sorted, with all places in it."""
    places: dict[str, list[str]] = {}
    for source in sources:
        kept = places.setdefault(source.key, [])
        if source.where and source.where not in kept:
            kept.append(source.where)
    return sorted(cite(Source(key, "; ".join(where))) for key, where in places.items())
