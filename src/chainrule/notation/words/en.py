"""English."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.prose import Part, Prose, listed, said
from chainrule.notation.words.words import DiagnosisLabels, Labels


class English:
    """What explain and verify say, in English."""

    language = "en"
    labels = Labels(
        forward="Forward", backward="Backward", update="Update", layer="Layer", step="step", quantity="quantity",
        formula="formula", numbers="with numbers", value="value", exact="exact", shape="shape", reason="why",
        route="route", contribution="contribution", claim="claim", verdict="verdict", mistake="mistake",
        correction="correction", ratio="ratio", line="line", column="column", points="points", total="total",
        right="right", wrong="wrong", consequence="consequence", undecided="undecided", otherwise="otherwise",
        warning="warning", norm="norm", smallest="smallest", largest="largest",
        local="Local derivatives", loss="Loss", names="Names", routes="Routes", network="Network",
        before="before", after="after", details="Details",
    )  # fmt: skip
    diagnosis = DiagnosisLabels(
        title="Gradients", healthy="healthy", findings="Findings", cause="cause", mechanism="how", where="where",
        share="share", evidence="evidence", confidence="confidence", unexplained="unexplained",
        ledger="What changes the gradient's size, layer by layer", layers="Layers", operator="operator",
        gradient="gradient", log_gain="log gain", total="sum", silent="silent units", slope="slope", update="update",
        not_judged="not judged", measured="measured", predicted="predicted", vanishing_side="Vanishing",
        exploding_side="Exploding", depth="layers back from the output", times_per_layer="per layer",
        log_scale="log scale", remedies="Remedies, tried on copies", remedy="remedy", code="The change as code",
        recommended="recommended", training="Training, layer by layer", looks="looks", step="step",
        events="Seen for the first time", histograms="Slopes of the activations, as a share of the steepest",
        names={
            "cap": "cap of the slope", "saturation": "saturation", "normalisation": "normalisation",
            "attention": "attention", "gate": "gates", "join": "other routes", "other": "other", "weights": "weights",
            "weight": "Size of the weights", "gradient": "Size of the gradient", "activation": "Size of the results",
            "update": "Update, as a share of the weights", "flat": "Share of flat slopes",
            "dead": "Share of units without a gradient", "jump": "a step as large as the weights",
        },
    )  # fmt: skip

    # ---- forward -----------------------------------------------------------------------------------------------
    def given(self, x: Part) -> Prose:
        return said("{x} is given.", x=x)

    def weighted_sums(self, z: Part, a: Part) -> Prose:
        return said("{z} holds the weighted sums of {a}, a bias added to each.", z=z, a=a)

    def activated(self, a: Part, z: Part, function: Part) -> Prose:
        return said("{a} is {function} of {z}, element by element.", a=a, z=z, function=function)

    def probabilities(self, a: Part, z: Part) -> Prose:
        return said("{a} turns {z} into probabilities: each depends on every score, and they add up to 1.", a=a, z=z)

    def loss_measures(self, loss: Part, output: Part, label: Part) -> Prose:
        return said("{loss} measures how far {output} is from {label}.", loss=loss, output=output, label=label)

    def computed(self, y: Part, inputs: Sequence[Part]) -> Prose:
        return said("{y} is computed from {inputs}.", y=y, inputs=_and(inputs))

    def recomputed(self, x: Part | Prose) -> Prose:
        return said("The run did not keep {x}; it was computed again from what it follows from.", x=x)

    # ---- backward ----------------------------------------------------------------------------------------------
    def starts_at_one(self, loss: Part) -> Prose:
        return said("The derivative of {loss} by itself is 1: the backward pass starts here.", loss=loss)

    def only_through(self, of: Part, through: Part) -> Prose:
        return said("{of} reaches the loss only through {through}.", of=of, through=through)

    def through_several(self, of: Part, through: Sequence[Part]) -> Prose:
        return said("{of} reaches the loss through {through}; the contributions add up.", of=of, through=_and(through))

    def through_next_layer(self, of: Part, through: Part) -> Prose:
        return said(
            "A neuron acts through all neurons of the next layer, and the effects add up: "
            "{of} collects what {through} receives, along the weights.",
            of=of, through=through,
        )  # fmt: skip

    def slope_of_activation(self, of: Part, a: Part, slope: Part) -> Prose:
        return said(
            "{a} changes with {of} by the slope of the activation, {slope}, element by element.",
            of=of, a=a, slope=slope,
        )  # fmt: skip

    def cross_terms(self, a: Part, z: Part) -> Prose:
        return said(
            "Every output of softmax depends on every score: the derivative of {a} by {z} has cross terms, "
            "and each score adds up its effects on all outputs.",
            a=a, z=z,
        )  # fmt: skip

    def cross_terms_cancel(self, z: Part, a: Part, label: Part) -> Prose:
        return said(
            "With the cross entropy the cross terms of softmax add up to the difference of {a} and {label}: "
            "that is the derivative by {z}.",
            a=a, label=label, z=z,
        )  # fmt: skip

    def outer_product(self, of: Part, delta: Part, a: Part) -> Prose:
        return said(
            "The weight from neuron k to neuron j multiplies element k of {a} and adds to element j of the sum: its "
            "derivative is element j of {delta} times element k of {a}. All of them make the outer product, of the "
            "shape of {of}.",
            of=of, delta=delta, a=a,
        )  # fmt: skip

    def bias_passes_on(self, of: Part, z: Part) -> Prose:
        return said("{of} is added to {z} as it is, so that the derivative passes on unchanged.", of=of, z=z)

    def sum_over_batch(self, of: Part) -> Prose:
        return said("All samples of the batch share {of}: their contributions add up.", of=of)

    def mask(self, of: Part, condition: Part) -> Prose:
        return said("Where {condition}, the derivative passes on; elsewhere {of} gets 0.", of=of, condition=condition)

    def derivative_of_loss(self, of: Part) -> Prose:
        return said("{of} enters the loss directly.", of=of)

    def does_not_reach(self, of: Part, loss: Part) -> Prose:
        return said("{loss} does not depend on {of}: the derivative is 0.", of=of, loss=loss)

    def own_trace(self) -> Prose:
        return said("A scalar is its own trace.")

    def trace_of_product(self) -> Prose:
        return said("The trace of a product does not change when its factors change places in a circle.")

    def trace_of_transpose(self) -> Prose:
        return said("A matrix and its transpose have the same trace.")

    def checked(self, deviation: str) -> Prose:
        return said("Checked with numbers: both sides agree to {deviation}.", deviation=deviation)

    # ---- differentials, routes, and what is not shown --------------------------------------------------------------
    def differential_of(self, y: Part) -> Prose:
        return said("The differential of {y}.", y=y)

    def chain_of_differentials(self, through: Sequence[Part]) -> Prose:
        return said("The loss moves as {through} moves.", through=_and(through))

    def put_in(self) -> Prose:
        return said("The differential is put in.")

    def derivation_of(self, rates: Sequence[Part]) -> Prose:
        return said("Derivation of {rates}", rates=_and(rates))

    def follows_from(self, loss: Part, value: Part) -> Prose:
        return said("{loss} = {value}", loss=loss, value=value)

    def left_out(self, count: int) -> Prose:
        return said("{count} more steps are not shown; full=True shows them.", count=str(count))

    def repeated(self, first: Part, last: Part, count: int) -> Prose:
        return said(
            "From {first} to {last} these steps come {count} times, alike but for the numbers: shown once.",
            first=first, last=last, count=str(count),
        )  # fmt: skip

    def routes_add_up(self, weight: Part, count: int, total: Part) -> Prose:
        if count == 1:
            only = "{weight} reaches the loss on one route, which contributes {total}."
            return said(only, weight=weight, total=total)
        return said(
            "{weight} reaches the loss on {count} routes; what they contribute adds up to {total}.",
            weight=weight, count=str(count), total=total,
        )  # fmt: skip

    def routes_left_out(self, count: int, share: Part) -> Prose:
        return said("{count} more routes contribute {share} together.", count=str(count), share=share)

    def matches_engine(self) -> Prose:
        return said("The engine's backward() gives the same derivatives.")

    # ---- what a gradient says ----------------------------------------------------------------------------------
    def increase(self, weight: Part) -> Prose:
        return said("The derivative is negative: a larger {weight} makes the loss smaller.", weight=weight)

    def decrease(self, weight: Part) -> Prose:
        return said("The derivative is positive: a smaller {weight} makes the loss smaller.", weight=weight)

    def stationary(self) -> Prose:
        return said(
            "The derivative is 0 because the loss is flat here. That is a stationary point, not a vanishing gradient."
        )

    # ---- update ------------------------------------------------------------------------------------------------
    def step_against_gradient(self, weight: Part, rate: Part) -> Prose:
        return said("{weight} moves against its derivative, by the learning rate {rate}.", weight=weight, rate=rate)

    def before_and_after(self, weight: Part) -> Prose:
        return said("On the right stands {weight} as it was before the step.", weight=weight)

    def momentum(self, velocity: Part) -> Prose:
        return said("{velocity} remembers earlier derivatives, the older the less.", velocity=velocity)

    def first_moment(self, moment: Part) -> Prose:
        return said("{moment} is a running mean of the derivatives: the direction.", moment=moment)

    def second_moment(self, moment: Part) -> Prose:
        return said("{moment} is a running mean of their squares: the scale.", moment=moment)

    def bias_correction(self, step: Part) -> Prose:
        return said("Running means start at 0; step {step} divides that bias out.", step=step)

    def weight_decay(self, weight: Part) -> Prose:
        return said("Weight decay pulls {weight} towards 0.", weight=weight)

    def new_state(self, state: Part) -> Prose:
        return said("{state} is what the optimiser remembers for its next step.", state=state)

    def step_of(self, optimizer: Part, weight: Part, step: int) -> Prose:
        return said("{optimizer}: step {step} of {weight}", optimizer=optimizer, weight=weight, step=str(step))

    # ---- verdicts ----------------------------------------------------------------------------------------------
    def all_right(self, count: int) -> Prose:
        return said("The claim is right." if count == 1 else "All {count} claims are right.", count=str(count))

    def first_wrong(self, claim: Part, line: int) -> Prose:
        return said("The first wrong step is {claim}, in line {line}.", claim=claim, line=str(line))

    def right(self, claim: Part) -> Prose:
        return said("{claim} is right.", claim=claim)

    def wrong(self, claim: Part) -> Prose:
        return said("{claim} is wrong.", claim=claim)

    def consequence_of(self, claim: Part, of: Part) -> Prose:
        return said("{claim} is right given your {of}; it is {of} that is wrong.", claim=claim, of=of)

    def undecided(self, claim: Part, reason: Prose) -> Prose:
        return said("{claim} cannot be decided: {reason}", claim=claim, reason=reason)

    def correct_is(self, claim: Part, formula: Part) -> Prose:
        return said("It should be {claim} = {formula}.", claim=claim, formula=formula)

    def cannot_tell_apart(self, one: Part, other: Part) -> Prose:
        return said("On these data {one} and {other} cannot be told apart.", one=one, other=other)

    def can_be_read_as(self, others: Sequence[Part]) -> Prose:
        return said("The same slip can be read as: {others}.", others=listed(list(others), ", ", ", "))

    def no_known_mistake(self) -> Prose:
        return said("No known mistake fits. This is the pattern of the error:")

    def wrong_shape(self, claim: Part, got: Part, wanted: Part) -> Prose:
        return said(
            "{claim} has the shape {got}; the quantity it belongs to has {wanted}.", claim=claim, got=got, wanted=wanted
        )

    def cannot_be_computed(self, claim: Part, reason: Part) -> Prose:
        return said("{claim} cannot be computed: {reason}.", claim=claim, reason=reason)

    def factor_of_outer_product(self, claim: Part) -> Prose:
        return said(
            "{claim} is right as a factor of an outer product: the chain rule multiplies by its transpose, as a "
            "matrix, not element by element.",
            claim=claim,
        )

    def exactly(self, claim: Part, value: Part) -> Prose:
        return said("Exactly, {claim} is {value}.", claim=claim, value=value)

    def at_a_kink(self) -> Prose:
        return said("The given point is at a kink, where the derivative is a convention; near it the claim is right.")

    def right_by_chance(self) -> Prose:
        return said("It is right for the given numbers by chance, and wrong for others.")

    def spelled_out_again(self, claim: Part, of: Part) -> Prose:
        return said("{claim} repeats the slip of {of}.", claim=claim, of=of)

    def held_on_redraws(self, count: int) -> Prose:
        return said("The verdicts hold at the given values and on {count} other draws.", count=str(count))

    def perturbed(self, givens: Sequence[Part]) -> Prose:
        return said(
            "To tell a right formula from a coincidence, the numbers of {givens} were varied too.", givens=_and(givens)
        )

    # ---- patterns ----------------------------------------------------------------------------------------------
    def constant_ratio(self, ratio: Part) -> Prose:
        return said("Every element is {ratio} times the right one.", ratio=ratio)

    def opposite_sign(self) -> Prose:
        return said("Every element has the opposite sign.")

    def transposed(self) -> Prose:
        return said("The elements are right, but transposed.")

    def wrong_where(self, condition: Part) -> Prose:
        return said("It is wrong only where {condition}.", condition=condition)

    def zero_where(self, condition: Part) -> Prose:
        return said("It is 0 where {condition}, and should not be.", condition=condition)

    def constant_difference(self, difference: Part) -> Prose:
        return said("Every element is off by {difference}.", difference=difference)

    def share_wrong(self, wrong: int, of: int) -> Prose:
        return said("{wrong} of {of} elements are wrong.", wrong=str(wrong), of=str(of))

    def no_pattern(self) -> Prose:
        return said("The errors of the elements have nothing visible in common.")

    # ---- warnings and grading ----------------------------------------------------------------------------------
    def unused_given(self, given: Part, line: int) -> Prose:
        return said("{given}, given in line {line}, is used nowhere.", given=given, line=str(line))

    def not_finite(self, name: Part) -> Prose:
        return said("{name} is not finite.", name=name)

    def not_claimed(self, claim: Part) -> Prose:
        return said("{claim} is not claimed.", claim=claim)

    def points(self, got: Part, of: Part) -> Prose:
        return said("{got} of {of} points.", got=got, of=of)

    def counted_once(self, first: Part) -> Prose:
        return said("Follows from {first}: no points are lost a second time.", first=first)

    def partial_credit(self, claim: Part, mistake: Part) -> Prose:
        return said("Part of the points for {claim}: only this is wrong, {mistake}.", claim=claim, mistake=mistake)

    # ---- diagnose ----------------------------------------------------------------------------------------------
    def gradient_changes(self, layer: Part, factor: Part, depth: int) -> Prose:
        return said(
            "Over {depth} layers the gradient changes by the factor {factor} from the output to layer {layer}.",
            layer=layer, factor=factor, depth=str(depth),
        )  # fmt: skip

    def gradient_ends(self, layer: Part, op: Part, where: Part) -> Prose:
        return said(
            "From layer {layer} down the gradient is exactly 0; it is lost at {op} ({where}).",
            layer=layer,
            op=op,
            where=where,
        )

    def gradient_not_finite(self, layer: Part, op: Part, where: Part) -> Prose:
        return said(
            "From layer {layer} down the gradient is not finite, first at {op} ({where}).",
            layer=layer,
            op=op,
            where=where,
        )

    def starts_not_finite(self, op: Part, path: Part, phase: Part) -> Prose:
        return said(
            "The first number that is not finite is made by {op}, {path} ({phase}).", op=op, path=path, phase=phase
        )

    def no_finding(self) -> Prose:
        return said("Nothing was found that keeps the gradients from doing their work.")

    def learning_rate_not_judged(self) -> Prose:
        return said("The learning rate is not judged: no optimizer was given.")

    def reads_ledger(self) -> Prose:
        return said(
            "Each bar is the change of log rms(δ) from the layer above: to the left the gradient shrinks, to the right "
            "it grows. The causes add up to the tick, exactly."
        )

    def reads_panels(self) -> Prose:
        return said(
            "Root mean square of δ over that at the output. Beside it stands what a constant factor per layer makes."
        )

    def reads_histograms(self) -> Prose:
        return said("On the left end the activation is flat and passes no gradient on; on the right it is steepest.")

    def layers_together(self, count: int) -> Prose:
        return said("Of neighbouring layers {count} share a bar, in which their gains are added.", count=str(count))

    def watched(self, steps: int, looks: int, share: Part) -> Prose:
        return said(
            "{looks} looks in {steps} steps, which took {share} of the time.",
            steps=str(steps), looks=str(looks), share=share,
        )  # fmt: skip

    def reads_heat_map(self) -> Prose:
        return said("Each column is a look, each row a layer; the deeper the shade, the larger the value.")

    def nothing_helps(self) -> Prose:
        return said("Nothing that was tried improved it, so nothing is recommended.")

    def more_findings(self, count: int) -> Prose:
        return said("{count} more findings are in the report.", count=str(count))


def _and(parts: Sequence[Part]) -> Prose:
    return listed(list(parts), ", ", " and ")
