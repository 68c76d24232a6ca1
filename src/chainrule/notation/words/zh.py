"""Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.prose import Part, Prose, listed, said
from chainrule.notation.words.words import DiagnosisLabels, Labels


class Chinese:
    """What explain and verify say, in Chinese. Formulas stand between thin spaces where the printer sets them."""

    language = "zh"
    labels = Labels(
        forward="前向传播", backward="反向传播", update="参数更新", layer="层", step="步骤", quantity="量",
        formula="公式", numbers="代入数值", value="数值", exact="精确值", shape="形状", reason="理由",
        route="路径", contribution="贡献", claim="推导式", verdict="判定", mistake="错误",
        correction="更正", ratio="比值", line="行", column="列", points="得分", total="总分",
        right="正确", wrong="错误", consequence="连带错误", undecided="无法判定", otherwise="其他情形",
        warning="警告", norm="范数", smallest="最小值", largest="最大值",
        local="局部导数", loss="损失", names="名称", routes="路径", network="网络", before="之前", after="之后",
        details="详情",
    )  # fmt: skip
    diagnosis = DiagnosisLabels(
        title="梯度诊断", healthy="健康", findings="诊断结果", cause="原因", mechanism="机制", where="位置",
        share="占比", evidence="证据", confidence="置信度", unexplained="未能解释",
        ledger="逐层：什么改变了梯度的大小", layers="各层", operator="算子", gradient="梯度", log_gain="对数增益",
        total="合计", silent="沉默单元", slope="斜率", update="更新量", not_judged="未判断", measured="实测",
        predicted="理论预测", vanishing_side="梯度消失", exploding_side="梯度爆炸", depth="从输出往回数的层数",
        times_per_layer="每层", log_scale="对数坐标", remedies="在副本上试过的办法", remedy="办法", code="改动的代码",
        recommended="推荐", training="训练过程中的各层", looks="观测次数", step="步", events="首次出现",
        histograms="激活函数的斜率（相对于最大斜率）",
        names={
            "cap": "斜率上限", "saturation": "饱和", "normalisation": "归一化", "attention": "注意力", "gate": "门控",
            "join": "其他路径", "other": "其他", "weights": "权重", "weight": "权重大小", "gradient": "梯度大小",
            "activation": "输出大小", "update": "更新量与权重之比", "flat": "平坦斜率的占比",
            "dead": "无梯度单元的占比",
            "jump": "一步更新与权重一样大", "vanishing": "梯度消失", "exploding": "梯度爆炸", "saturated": "饱和",
            "dead units": "死亡单元", "dead layer": "整层死亡", "non-finite": "非有限数", "stationary": "驻点",
            "healthy": "健康", "unexplained": "未能解释",
            "constant initialisation": "常数或对称初始化", "stationary point": "驻点",
            "detached parameters": "被切断的参数", "unused parameters": "未使用的参数",
            "frozen parameters": "被冻结的参数", "learning rate": "学习率", "scale": "尺度失当",
            "activation cap": "激活函数的斜率上限", "small weights": "权重过小", "large weights": "权重过大",
            "recurrence": "循环中反复使用同一权重",
            "flat activations": "激活函数处于平坦区",
            "inactive units": "单元不激活",
            "other routes and operators": "其他路径和算子", "negative bias": "偏置过负",
            "no positive input": "输入从不为正", "large inputs": "输入过大", "small inputs": "输入过小",
            "large sums": "加权和过大", "large targets": "目标值过大", "large loss": "损失的尺度过大",
            "zero weights": "权重全为零", "equal rows": "各行权重相同", "the loss is met": "损失已无可降低",
            "the samples cancel": "各样本的梯度相互抵消", "no route to the loss": "没有通向损失的路径",
            "its module never ran": "所属模块从未运行",
            "requires_grad is False": "requires_grad 为 False",
            "steps as large as the weights": "更新量与权重一样大", "steps too small to matter": "更新量过小",
            "in the data": "在数据中", "in a parameter": "在参数中", "He initialisation": "He 初始化",
            "Xavier initialisation": "Xavier 初始化", "orthogonal initialisation": "正交初始化",
            "LSUV initialisation": "LSUV 初始化", "biases of 0": "偏置置零",
            "ReLU with He initialisation": "改用 ReLU 并用 He 初始化",
            "tanh with Xavier initialisation": "改用 tanh 并用 Xavier 初始化",
            "leaky ReLU": "改用 leaky ReLU", "residual connections": "残差连接",
            "gradient clipping": "梯度裁剪", "warm-up": "学习率预热", "standardised inputs": "输入标准化",
            "output on the targets' scale": "输出按目标的尺度缩放",
            "orthogonal recurrent weights": "循环权重正交初始化", "open forget gates": "打开遗忘门",
        },
    )  # fmt: skip

    # ---- forward -----------------------------------------------------------------------------------------------
    def given(self, x: Part) -> Prose:
        return said("{x} 是已知量。", x=x)

    def weighted_sums(self, z: Part, a: Part) -> Prose:
        return said("{z} 是 {a} 的加权和，每个再加上偏置。", z=z, a=a)

    def activated(self, a: Part, z: Part, function: Part) -> Prose:
        return said("对 {z} 逐元素应用 {function}，得到 {a}。", a=a, z=z, function=function)

    def probabilities(self, a: Part, z: Part) -> Prose:
        return said("{a} 把 {z} 变成概率：每个输出都依赖于所有得分，且总和为 1。", a=a, z=z)

    def loss_measures(self, loss: Part, output: Part, label: Part) -> Prose:
        return said("{loss} 衡量 {output} 与 {label} 相差多少。", loss=loss, output=output, label=label)

    def computed(self, y: Part, inputs: Sequence[Part]) -> Prose:
        return said("{y} 由 {inputs} 算出。", y=y, inputs=_and(inputs))

    def recomputed(self, x: Part | Prose) -> Prose:
        return said("运行时没有保存 {x}；这里由它所依赖的量重新算出。", x=x)

    # ---- backward ----------------------------------------------------------------------------------------------
    def starts_at_one(self, loss: Part) -> Prose:
        return said("{loss} 对自身的导数是 1：反向传播从这里开始。", loss=loss)

    def only_through(self, of: Part, through: Part) -> Prose:
        return said("{of} 只通过 {through} 影响损失。", of=of, through=through)

    def through_several(self, of: Part, through: Sequence[Part]) -> Prose:
        return said("{of} 通过 {through} 影响损失，各条路径的贡献相加。", of=of, through=_and(through))

    def through_next_layer(self, of: Part, through: Part) -> Prose:
        return said(
            "一个神经元通过下一层的所有神经元起作用，这些影响相加：{of} 沿着权重汇总 {through} 得到的导数。",
            of=of, through=through,
        )  # fmt: skip

    def slope_of_activation(self, of: Part, a: Part, slope: Part) -> Prose:
        return said("{a} 随 {of} 的变化率就是激活函数的导数 {slope}，逐元素相乘。", of=of, a=a, slope=slope)

    def cross_terms(self, a: Part, z: Part) -> Prose:
        return said(
            "softmax 的每个输出都依赖于每个得分：{a} 对 {z} 的导数含有交叉项，每个得分要把它对所有输出的影响相加。",
            a=a, z=z,
        )  # fmt: skip

    def cross_terms_cancel(self, z: Part, a: Part, label: Part) -> Prose:
        return said(
            "与交叉熵结合时，softmax 的交叉项相加后只剩 {a} 与 {label} 之差：这就是对 {z} 的导数。",
            a=a, label=label, z=z,
        )  # fmt: skip

    def outer_product(self, of: Part, delta: Part, a: Part) -> Prose:
        return said(
            "从神经元 k 到神经元 j 的权重乘以 {a} 的第 k 个元素，加到第 j 个和里：它的导数是 {delta} 的第 j 个元素"
            "乘以 {a} 的第 k 个元素。全部合起来就是外积，形状与 {of} 相同。",
            of=of, delta=delta, a=a,
        )  # fmt: skip

    def bias_passes_on(self, of: Part, z: Part) -> Prose:
        return said("{of} 直接加到 {z} 上，所以导数原样传过来。", of=of, z=z)

    def sum_over_batch(self, of: Part) -> Prose:
        return said("一批样本共用 {of}：各样本的贡献相加。", of=of)

    def mask(self, of: Part, condition: Part) -> Prose:
        return said("在 {condition} 的位置导数照常传递；其余位置 {of} 得到 0。", of=of, condition=condition)

    def derivative_of_loss(self, of: Part) -> Prose:
        return said("{of} 直接出现在损失中。", of=of)

    def does_not_reach(self, of: Part, loss: Part) -> Prose:
        return said("{loss} 不依赖于 {of}：导数为 0。", of=of, loss=loss)

    def own_trace(self) -> Prose:
        return said("标量等于它自己的迹。")

    def trace_of_product(self) -> Prose:
        return said("乘积中的因子循环换位，迹不变。")

    def trace_of_transpose(self) -> Prose:
        return said("矩阵与它的转置有相同的迹。")

    def checked(self, deviation: str) -> Prose:
        return said("已用数值检验：两边相差不超过 {deviation}。", deviation=deviation)

    # ---- differentials, routes, and what is not shown --------------------------------------------------------------
    def differential_of(self, y: Part) -> Prose:
        return said("{y} 的微分。", y=y)

    def chain_of_differentials(self, through: Sequence[Part]) -> Prose:
        return said("损失随 {through} 变化。", through=_and(through))

    def put_in(self) -> Prose:
        return said("把微分代入。")

    def derivation_of(self, rates: Sequence[Part]) -> Prose:
        return said("{rates} 的推导", rates=_and(rates))

    def follows_from(self, loss: Part, value: Part) -> Prose:
        return said("{loss} = {value}", loss=loss, value=value)

    def left_out(self, count: int) -> Prose:
        return said("还有 {count} 步没有列出；full=True 会全部列出。", count=str(count))

    def repeated(self, first: Part, last: Part, count: int) -> Prose:
        return said(
            "从 {first} 到 {last}，这些步骤重复 {count} 次，除数值外都相同：只列出一次。",
            first=first, last=last, count=str(count),
        )  # fmt: skip

    def routes_add_up(self, weight: Part, count: int, total: Part) -> Prose:
        return said(
            "{weight} 通过 {count} 条路径影响损失；各路径的贡献相加得 {total}。",
            weight=weight,
            count=str(count),
            total=total,
        )

    def routes_left_out(self, count: int, share: Part) -> Prose:
        return said("另外 {count} 条路径合计贡献 {share}。", count=str(count), share=share)

    def matches_engine(self) -> Prose:
        return said("引擎的 backward() 得到相同的导数。")

    # ---- what a gradient says ----------------------------------------------------------------------------------
    def increase(self, weight: Part) -> Prose:
        return said("导数为负：增大 {weight} 会使损失变小。", weight=weight)

    def decrease(self, weight: Part) -> Prose:
        return said("导数为正：减小 {weight} 会使损失变小。", weight=weight)

    def stationary(self) -> Prose:
        return said("导数为 0，因为损失在这里是平的。这是驻点，不是梯度消失。")

    # ---- update ------------------------------------------------------------------------------------------------
    def step_against_gradient(self, weight: Part, rate: Part) -> Prose:
        return said("{weight} 沿导数的反方向移动，学习率为 {rate}。", weight=weight, rate=rate)

    def before_and_after(self, weight: Part) -> Prose:
        return said("右边的 {weight} 是更新之前的值。", weight=weight)

    def momentum(self, velocity: Part) -> Prose:
        return said("{velocity} 记住以前的导数，越早的影响越小。", velocity=velocity)

    def first_moment(self, moment: Part) -> Prose:
        return said("{moment} 是导数的滑动平均，决定方向。", moment=moment)

    def second_moment(self, moment: Part) -> Prose:
        return said("{moment} 是导数平方的滑动平均，决定尺度。", moment=moment)

    def bias_correction(self, step: Part) -> Prose:
        return said("滑动平均从 0 开始；第 {step} 步把这个偏差除掉。", step=step)

    def weight_decay(self, weight: Part) -> Prose:
        return said("权重衰减把 {weight} 拉向 0。", weight=weight)

    def new_state(self, state: Part) -> Prose:
        return said("{state} 是优化器为下一步记住的量。", state=state)

    def step_of(self, optimizer: Part, weight: Part, step: int) -> Prose:
        return said("{optimizer}：{weight} 的第 {step} 步", optimizer=optimizer, weight=weight, step=str(step))

    # ---- verdicts ----------------------------------------------------------------------------------------------
    def all_right(self, count: int) -> Prose:
        return said("这个推导式正确。" if count == 1 else "全部 {count} 个推导式都正确。", count=str(count))

    def first_wrong(self, claim: Part, line: int) -> Prose:
        return said("第一个错误的步骤是第 {line} 行的 {claim}。", claim=claim, line=str(line))

    def right(self, claim: Part) -> Prose:
        return said("{claim} 正确。", claim=claim)

    def wrong(self, claim: Part) -> Prose:
        return said("{claim} 错误。", claim=claim)

    def consequence_of(self, claim: Part, of: Part) -> Prose:
        return said("以你的 {of} 为前提，{claim} 是对的；错的是 {of}。", claim=claim, of=of)

    def undecided(self, claim: Part, reason: Prose) -> Prose:
        return said("{claim} 无法判定：{reason}", claim=claim, reason=reason)

    def correct_is(self, claim: Part, formula: Part) -> Prose:
        return said("应当是 {claim} = {formula}。", claim=claim, formula=formula)

    def cannot_tell_apart(self, one: Part, other: Part) -> Prose:
        return said("用这些数据分不出 {one} 和 {other}。", one=one, other=other)

    def can_be_read_as(self, others: Sequence[Part]) -> Prose:
        return said("同一个错误也可以看作：{others}。", others=listed(list(others), "、", "、"))

    def no_known_mistake(self) -> Prose:
        return said("没有已知的错误与之相符。误差的规律如下：")

    def wrong_shape(self, claim: Part, got: Part, wanted: Part) -> Prose:
        return said("{claim} 的形状是 {got}，而对应的量的形状是 {wanted}。", claim=claim, got=got, wanted=wanted)

    def cannot_be_computed(self, claim: Part, reason: Part) -> Prose:
        return said("{claim} 无法计算：{reason}。", claim=claim, reason=reason)

    def factor_of_outer_product(self, claim: Part) -> Prose:
        return said(
            "{claim} 作为外积的因子是正确的：链式法则乘的是它的转置，是矩阵乘法，而不是逐元素相乘。", claim=claim
        )

    def exactly(self, claim: Part, value: Part) -> Prose:
        return said("{claim} 的精确值是 {value}。", claim=claim, value=value)

    def at_a_kink(self) -> Prose:
        return said("给定的点恰在尖点上，那里的导数只是约定；在它附近，该式是正确的。")

    def right_by_chance(self) -> Prose:
        return said("它只是碰巧在给定的数值上正确，换一组数值就错了。")

    def spelled_out_again(self, claim: Part, of: Part) -> Prose:
        return said("{claim} 重复了 {of} 的错误。", claim=claim, of=of)

    def held_on_redraws(self, count: int) -> Prose:
        return said("判定在给定数值和另外 {count} 组随机数值上都成立。", count=str(count))

    def perturbed(self, givens: Sequence[Part]) -> Prose:
        return said("为了区分公式正确与数值巧合，{givens} 的数值也作了改变。", givens=_and(givens))

    # ---- patterns ----------------------------------------------------------------------------------------------
    def constant_ratio(self, ratio: Part) -> Prose:
        return said("每个元素都是正确值的 {ratio} 倍。", ratio=ratio)

    def opposite_sign(self) -> Prose:
        return said("每个元素的符号都相反。")

    def transposed(self) -> Prose:
        return said("元素是对的，但被转置了。")

    def wrong_where(self, condition: Part) -> Prose:
        return said("只在 {condition} 的位置出错。", condition=condition)

    def zero_where(self, condition: Part) -> Prose:
        return said("在 {condition} 的位置是 0，而它不应当是 0。", condition=condition)

    def constant_difference(self, difference: Part) -> Prose:
        return said("每个元素都相差 {difference}。", difference=difference)

    def share_wrong(self, wrong: int, of: int) -> Prose:
        return said("{of} 个元素中有 {wrong} 个错误。", wrong=str(wrong), of=str(of))

    def no_pattern(self) -> Prose:
        return said("各元素的误差看不出共同的规律。")

    # ---- warnings and grading ----------------------------------------------------------------------------------
    def unused_given(self, given: Part, line: int) -> Prose:
        return said("第 {line} 行给出的 {given} 没有被用到。", given=given, line=str(line))

    def not_finite(self, name: Part) -> Prose:
        return said("{name} 不是有限的数。", name=name)

    def not_claimed(self, claim: Part) -> Prose:
        return said("没有给出 {claim}。", claim=claim)

    def points(self, got: Part, of: Part) -> Prose:
        return said("得 {got} 分，满分 {of} 分。", got=got, of=of)

    def counted_once(self, first: Part) -> Prose:
        return said("由 {first} 引起：不重复扣分。", first=first)

    def partial_credit(self, claim: Part, mistake: Part) -> Prose:
        return said("{claim} 得到部分分数：只错在 {mistake}。", claim=claim, mistake=mistake)

    # ---- diagnose ----------------------------------------------------------------------------------------------
    def gradient_changes(self, layer: Part, factor: Part, depth: int) -> Prose:
        return said(
            "经过 {depth} 层，从输出到层 {layer}，梯度变为原来的 {factor} 倍。",
            layer=layer, factor=factor, depth=str(depth),
        )  # fmt: skip

    def gradient_ends(self, layer: Part, op: Part, where: Part) -> Prose:
        return said("从层 {layer} 往下，梯度恰好为 0；它在 {op} 处丢失（{where}）。", layer=layer, op=op, where=where)

    def gradient_not_finite(self, layer: Part, op: Part, where: Part) -> Prose:
        return said(
            "从层 {layer} 往下，梯度不再是有限的数，最先出现在 {op}（{where}）。", layer=layer, op=op, where=where
        )

    def starts_not_finite(self, op: Part, path: Part, phase: Part) -> Prose:
        return said("第一个非有限的数由 {op} 产生：{path}（{phase}）。", op=op, path=path, phase=phase)

    def no_finding(self) -> Prose:
        return said("没有发现妨碍梯度起作用的问题。")

    def learning_rate_not_judged(self) -> Prose:
        return said("没有给出优化器，因此未判断学习率。")

    def reads_ledger(self) -> Prose:
        return said(
            "每一条是 log rms(δ) 相对上一层的变化：向左表示梯度变小，向右表示变大。各原因之和恰好等于竖线处的值。"
        )

    def reads_panels(self) -> Prose:
        return said("δ 的均方根与输出处之比。旁边是每层乘以固定倍数的结果，供对照。")

    def reads_histograms(self) -> Prose:
        return said("最左端表示激活函数平坦，梯度传不过去；最右端表示斜率最大。")

    def layers_together(self, count: int) -> Prose:
        return said("相邻的 {count} 层合成一条，它们的增益相加。", count=str(count))

    def watched(self, steps: int, looks: int, share: Part) -> Prose:
        return said(
            "{steps} 步中观测了 {looks} 次，占用时间的 {share}。", steps=str(steps), looks=str(looks), share=share
        )

    def reads_heat_map(self) -> Prose:
        return said("每一列是一次观测，每一行是一层；颜色越深，数值越大。")

    def nothing_helps(self) -> Prose:
        return said("试过的办法都没有改善，因此不作推荐。")

    def more_findings(self, count: int) -> Prose:
        return said("另有 {count} 项诊断结果见报告。", count=str(count))


def _and(parts: Sequence[Part]) -> Prose:
    return listed(list(parts), "、", " 和 ")
