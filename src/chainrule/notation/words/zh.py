"""Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.notation.prose import Part, Prose, listed, said
from chainrule.notation.words.words import DiagnosisLabels, Labels


class Chinese:
    """What explain and verify say, in Chinese. Formulas stand between thin spaces where the printer sets them."""

    language = "zh"
    gap = ""
    colon = "："
    labels = Labels(
        layer="层", quantity="量", shape="形状", before="之前", after="之后",
        forward="前向传播", backward="反向传播", update="参数更新", formula="公式", value="数值",
        contribution="贡献", claim="推导式", right="正确", wrong="错误", consequence="连带错误",
        undecided="无法判定", warning="警告", norm="范数", local="局部导数", loss="损失", names="名称",
        routes="路径", network="网络", close="关闭", module="模块", enters="传入", leaves="传出",
        parameters="参数",
    )  # fmt: skip
    diagnosis = DiagnosisLabels(
        title="梯度诊断", healthy="健康", findings="诊断结果", cause="原因", where="位置",
        confidence="置信度",
        ledger="逐层：什么改变了梯度的大小", layers="各层", operator="算子", gradient="梯度", log_gain="对数增益",
        total="合计", silent="沉默单元", not_judged="未判断", measured="实测",
        predicted="理论预测", vanishing_side="梯度消失", exploding_side="梯度爆炸", depth="从输出往回数的层数",
        relative="rms(δ)，输出处为 1", times_per_layer="每层 {} 倍", log_scale="对数坐标",
        remedies="在副本上试过的办法", remedy="办法", reason="理由",
        code="改动的代码", recommended="推荐", improves="改善", training="训练过程中的各层", step="步",
        events="首次出现",
        histograms="各激活函数的斜率",
        flat="平坦", by_cause="什么改变了梯度的大小（各层合计）",
        parameters="各参数", glossary="术语", pictures="图", colon="：", comma="，", comma_in_lists="、",
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
            "frozen parameters": "被冻结的参数", "learning rate": "学习率失当", "scale": "数据或损失的尺度失当",
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
            "in the data": "在数据中", "in a parameter": "在参数中",
            "made forward by {}": "前向传播中由 {} 产生", "made backward by {}": "反向传播中由 {} 产生",
            "small loss": "损失的尺度过小", "a constant": "常数", "delta": "δ",
            "log gain": "对数增益", "log gain of the mechanism": "此原因的对数增益",
            "log gain per layer": "每层对数增益",
            "log gain over the steps": "各时间步的对数增益之和", "log gain per step": "每步对数增益",
            "steps": "时间步数",
            "log gain of the signal": "信号的对数增益", "layers": "层数", "batch": "最先出现的批次", "batches": "批数",
            "parameters": "参数个数", "of": "总数", "units": "单元数", "silent units": "沉默单元数",
            "largest z": "z 的最大值", "slope over its cap": "斜率与最大斜率之比", "rms of z": "rms(z)", "rms": "rms",
            "rms of the weight times sqrt(fan in)": "rms(W) √扇入", "smallest": "最小值", "largest": "最大值",
            "rms of targets": "rms(目标)", "rms of outputs": "rms(输出)", "rms(dL/d output)": "rms(dL/d输出)",
            "loss": "损失", "update / weight, median": "更新量/权重（中位数）",
            "update / weight, largest": "更新量/权重（最大）", "decrease / loss, at most": "损失至多降低的比例",
            "rms(dL/d output) n / size of outputs": "n rms(dL/d输出) / 输出的大小",
            "rms(dW) / (sqrt(n) rms(delta) rms(a))": "rms(dW) / (√n rms(δ) rms(a))",
            "He initialisation": "He 初始化",
            "Xavier initialisation": "Xavier 初始化", "orthogonal initialisation": "正交初始化",
            "LSUV initialisation": "LSUV 初始化", "biases of 0": "偏置置零",
            "ReLU with He initialisation": "改用 ReLU 并用 He 初始化",
            "tanh with Xavier initialisation": "改用 tanh 并用 Xavier 初始化",
            "leaky ReLU": "改用 leaky ReLU", "residual connections": "残差连接",
            "gradient clipping": "梯度裁剪", "warm-up": "学习率预热", "standardised inputs": "输入标准化",
            "output on the targets' scale": "输出按目标的尺度缩放",
            "orthogonal recurrent weights": "循环权重正交初始化", "open forget gates": "打开遗忘门",
            "LSTM in place of RNN": "用 LSTM 代替 RNN", "GRU in place of RNN": "用 GRU 代替 RNN",
            "learning rate x 0.1": "学习率 × 0.1", "learning rate x 0.01": "学习率 × 0.01",
            "learning rate x 0.001": "学习率 × 0.001", "learning rate x 100": "学习率 × 100",
            "learning rate x 1000": "学习率 × 1000", "float32 arithmetic": "改用 float32 计算",
            "float64 arithmetic": "改用 float64 计算",
            "a safe operand inside where": "在 where 之内换成安全的操作数",
            "operand kept above 0": "使操作数保持大于 0",
            "a layer with ReLU keeps the size of signals if its weights have variance 2 / fan in":
                "带 ReLU 的层，权重方差为 2 / 扇入时，信号的大小不变",
            "a layer keeps the size of signals and gradients if its weights have variance 1 / fan":
                "权重方差为 1 / 扇入（扇出）时，信号和梯度的大小不变",
            "an orthogonal matrix keeps every length, of signals and of gradients":
                "正交矩阵保持一切长度：信号的和梯度的",
            "each layer's weights are scaled until its results on a batch have size 1":
                "逐层缩放权重，使一批数据上的输出大小为 1",
            "units are not switched off by their biases": "单元不再被偏置关掉",
            "ReLU's slope is 1 wherever it is active, and He's weights make up for the half that is not":
                "ReLU 激活时斜率为 1；另一半不激活，由 He 的权重补偿",
            "tanh's slope is up to 1, a sigmoid's up to 1/4": "tanh 的斜率可达 1，sigmoid 至多 1/4",
            "the slope is 0.1 where ReLU's is 0, so that silent units get a gradient":
                "ReLU 斜率为 0 之处它为 0.1，沉默的单元也有梯度",
            "each layer's results are brought to size 1, whatever its weights are":
                "无论权重如何，每层的输出都被调到大小 1",
            "the gradient has a way past each layer, on which nothing multiplies it":
                "梯度有一条绕过每层的路径，途中不被任何数相乘",
            "an orthogonal matrix keeps the gradient's length from step to step":
                "正交矩阵使梯度的长度逐步不变",
            "an open gate hands the state on nearly as it is, and the gradient with it":
                "打开的门几乎原样传递状态，梯度也随之传递",
            "the state is handed on through a gate, past the matrix and past tanh":
                "状态经由门传递，绕过矩阵和 tanh",
            "one large gradient no longer throws the weights away": "一次过大的梯度不再把权重抛远",
            "the first steps, of the least known size, are the smallest": "最初几步最没有把握，因此最小",
            "a step should be about a thousandth of the weights that it changes":
                "一步的大小应约为权重的千分之一",
            "steps below the weights' rounding, or thousands of them for one weight, teach nothing":
                "步子小于权重的舍入误差，或要几千步才抵一个权重，学不到东西",
            "layers and their initialisation are made for inputs of mean 0 and size 1":
                "层及其初始化是为均值 0、大小 1 的输入而设的",
            "the weights need not grow to reach the targets; training on (y - mean) / std does the same":
                "权重不必增大以达到目标值；用 (y - 均值) / 标准差 训练效果相同",
            "the masked places send 0 times infinity, which is nan; where the operand is safe they send 0":
                "被遮住的位置传回 0 乘以无穷，即 nan；操作数安全时传回 0",
            "the operator, or its slope, is infinite at 0; the operand is kept away from it":
                "该算子或其斜率在 0 处为无穷，因此使操作数离开 0",
            "numbers that leave the range of the present type stay in that of the wider one":
                "超出当前类型范围的数，仍在更宽类型的范围之内",
        },
        mechanisms={
            "vanishing: activation cap": "激活函数的斜率处处不超过其上限（sigmoid 为 1/4），"
                "而每一层都要把梯度乘以斜率。任何初始化都补不回来。",
            "exploding: activation cap": "激活函数在某些地方的斜率大于 1，而每一层都要把梯度乘以斜率。",
            "vanishing: small weights": "权重太小，每一层传下去的梯度都比得到的少。",
            "exploding: large weights": "权重太大，信号或梯度逐层增大。",
            "vanishing: recurrence": "每个时间步都用同一组权重：每步缩小一点，许多步之后就消失了。",
            "exploding: recurrence": "每个时间步都用同一组权重：每步增大一点，许多步之后就极大。",
            "vanishing: flat activations": "激活函数在所用之处是平的，梯度几乎传不过去。",
            "vanishing: inactive units": "不激活的单元超过通常的一半，而梯度传不过不激活的单元。",
            "vanishing: other routes and operators": "层与层之间的运算（缩放、池化、相互抵消的路径）"
                "比权重和激活函数更多地缩小了梯度。",
            "exploding: other routes and operators": "层与层之间的运算（缩放、相加的路径）"
                "比权重和激活函数更多地增大了梯度。",
            "saturated: large inputs": "输入太大，第一个激活函数在所用之处是平的，梯度几乎传不过去。",
            "saturated: large weights": "权重太大，加权和落在激活函数平坦的地方，梯度几乎传不过去。",
            "saturated: large sums": "权重不大，但加权和落在激活函数平坦的地方，梯度几乎传不过去。",
            "dead units: negative bias": "偏置远低于 0，单元对任何输入都不激活，而不激活的单元不会学习。",
            "dead units: no positive input": "没有一个样本给这些单元正的输入，而不激活的单元不会学习。",
            "non-finite: in the data": "还没有计算，输入中就已有无穷大或 NaN。",
            "non-finite: in a parameter": "还没有计算，某个参数中就已有无穷大或 NaN。",
            "non-finite: made forward by {}": "这个算子由有限的数算出了无穷大或 NaN。",
            "non-finite: made backward by {}": "它的结果是有限的，导数却不是。即使掩码遮住了结果，"
                "那里的梯度也是 0 乘以无穷，即 NaN。",
            "scale: large inputs": "层及其初始化是为大小为 1 的输入而设的。",
            "scale: small inputs": "层及其初始化是为大小为 1 的输入而设的：太小的输入几乎带不动第一层的权重。",
            "scale: large targets": "目标值远大于输出：权重要增大很多才够得着。",
            "scale: large loss": "损失的要求远超输出与目标之差：用了求和而不是平均，或乘了很大的系数。",
            "scale: small loss": "损失尚未降下来，却几乎没有要求：它被乘以了很小的数。",
            "learning rate: steps as large as the weights": "下一步对权重的改变与权重本身相当：训练会来回跳动。",
            "learning rate: steps too small to matter": "下一步几乎不改变权重：走几千步也变化不大。",
            "stationary point: the loss is met": "梯度小是因为已没有什么可学的，而不是在途中丢失了。不需要补救。",
            "stationary point: the samples cancel": "每个样本都有梯度，但合起来相互抵消：这是极小点或别的驻点。"
                "梯度没有在途中丢失。",
            "constant initialisation: zero weights": "权重为 0 时，一层的各单元算出相同的值，"
                "得到相同的梯度，永远相同。",
            "constant initialisation: equal rows": "权重相同的单元算出相同的值，得到相同的梯度，永远相同。",
            "detached parameters: no route to the loss": "所属模块运行过，但从损失没有路径回到它：请查看 detach()、"
                "no_grad()、从张量中取出的数，或没有用到的结果。",
            "unused parameters: its module never ran": "所属模块没有被调用。",
            "frozen parameters: requires_grad is False": "requires_grad 为 False，所以不学习：微调时理应如此，"
                "别处则是疏忽。",
        },
        families={
            "activation": "换激活函数", "normalisation": "归一化", "residual": "残差连接",
            "initialisation": "换初始化方法",
            "clipping": "梯度裁剪", "leaky": "leaky ReLU", "bias": "偏置置零",
            "recurrent": "LSTM 或 GRU、正交的循环权重", "inputs": "输入标准化", "targets": "目标值标准化",
            "rate": "减小学习率", "warm-up": "学习率预热", "faster": "增大学习率", "operand": "安全的操作数",
            "precision": "更宽的浮点类型",
        },
        terms={
            "z": ("z", "一层在激活函数之前算出的值：W a + b"),
            "delta": ("δ", "dL/dz，即反向传播逐层传递的梯度"),
            "rms": ("rms", "均方根：数组中元素的大小"),
            "gain": ("对数增益", "一层的 rms(δ) 与上一层之比的自然对数：−0.69 为一半，−2.30 为十分之一，+0.69 为两倍；"
                     "各层可相加"),
            "weights": ("权重", "其中乘以 Wᵀ 的部分"),
            "cap": ("斜率上限", "其中激活函数最大斜率的部分：sigmoid 为 log(1/4) = −1.39，tanh 和 ReLU 为 0"),
            "saturation": ("饱和", "激活函数在所用之处比最大斜率平坦而损失的部分；对 ReLU 是不激活的单元"),
            "normalisation": ("归一化", "层归一化、批归一化或 RMS 归一化的部分"),
            "attention": ("注意力", "softmax 以及两个计算值相乘的部分"),
            "gate": ("门控", "与另一个计算值逐元素相乘的部分"),
            "join": ("其他路径", "从这里所走路径之外到来的部分，例如残差连接"),
            "other": ("其他", "其余的部分：池化、dropout、缩放"),
        },
    )  # fmt: skip

    # ---- forward -----------------------------------------------------------------------------------------------
    def weighted_sums(self, z: Part, a: Part) -> Prose:
        return said("{z} 是 {a} 的加权和，每个再加上偏置。", z=z, a=a)

    def activated(self, a: Part, z: Part, function: Part | Prose) -> Prose:
        return said("对 {z} 逐元素应用 {function}，得到 {a}。", a=a, z=z, function=function)

    def function_of(self, a: Part, z: Part, function: Part | Prose) -> Prose:
        return said("对 {z} 应用 {function}，得到 {a}。", a=a, z=z, function=function)

    def probabilities(self, a: Part, z: Part) -> Prose:
        return said("{a} 把 {z} 变成概率：每个输出都依赖于所有得分，且总和为 1。", a=a, z=z)

    def loss_measures(self, loss: Part, output: Part, label: Part) -> Prose:
        return said("{loss} 衡量 {output} 与 {label} 相差多少。", loss=loss, output=output, label=label)

    def one_hot(self, t: Part, y: Part) -> Prose:
        return said("{t} 在类别 {y} 处为 1，其余为 0。", t=t, y=y)

    def computed(self, y: Part, inputs: Sequence[Part]) -> Prose:
        return said("{y} 由 {inputs} 算出。", y=y, inputs=_and(inputs))

    def recomputed(self, values: Sequence[Part]) -> Prose:
        return said("以下各量运行时没有保存，由已知量重新算出：{values}。", values=_and(values))

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
        return said("{of} 是 {z} 中的一个加项，所以导数原样传过来。", of=of, z=z)

    def sum_over_batch(self, of: Part) -> Prose:
        return said("一批样本共用 {of}：各样本的贡献相加。", of=of)

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

    def transpose_of_product(self) -> Prose:
        return said("乘积的转置等于各因子转置后按相反次序相乘。")

    def factor_moves_over(self) -> Prose:
        return said("在迹中，逐元素的因子可以移到另一边：它乘的是同样的元素。")

    def diagonal_sign(self, sign: Part) -> Prose:
        return said("{sign} 把一列数放在矩阵的对角线上，其余为 0。", sign=sign)

    def checked(self, deviation: Part) -> Prose:
        return said("已用数值检验：两边的相对误差不超过 {deviation}。", deviation=deviation)

    def checked_at_kink(self, deviation: Part, left: Part, right: Part) -> Prose:
        return said(
            "两边相符，相对误差不超过 {deviation}。损失在此处不可导（有尖点）："
            "该量朝一个方向变动时，损失的变化率是 {right}，从另一侧过来时是 {left}。",
            deviation=deviation, left=left, right=right,
        )  # fmt: skip

    def short_for(self, delta: Part, rate: Part) -> Prose:
        return said("{delta} 是 {rate} 的简写。", delta=delta, rate=rate)

    def left_out_terms(self, dots: Part) -> Prose:
        return said("{dots} 的下标是求和中省略的项数；full=True 会全部列出。", dots=dots)

    def elementwise_sign(self, sign: Part) -> Prose:
        return said("{sign} 表示逐元素相乘。", sign=sign)

    # ---- differentials, routes, and what is not shown --------------------------------------------------------------
    def differential_of(self, y: Part) -> Prose:
        return said("{y} 的微分。", y=y)

    def chain_of_differentials(self, through: Sequence[Part]) -> Prose:
        return said("损失随 {through} 变化。", through=_and(through))

    def put_in(self) -> Prose:
        return said("把微分代入。")

    def equal_calls(self, first: str, last: str, kind: str, count: int) -> Prose:
        if first == last:
            again = "{first}：{kind}，调用 {count} 次，除数值外都相同。"
            return said(again, first=first, kind=kind, count=str(count))
        return said(
            "{first} 至 {last}：{count} 个 {kind}，除数值外都相同。",
            first=first, last=last, kind=kind, count=str(count),
        )  # fmt: skip

    def step_count(self, count: int) -> Prose:
        return said("{count} 步", count=str(count))

    def part_of(self, rate: Part) -> Prose:
        return said("{rate} 的一部分", rate=rate)

    def shown_alone(self, path: str) -> Prose:
        return said('其余的用 .within("{path}") 列出。', path=path)

    def modules_closed(self, path: str) -> Prose:
        return said('模块内部的步骤没有列出：.within("{path}") 列出一个模块的步骤，full=True 全部列出。', path=path)

    def derivation_of(self, rates: Sequence[Part]) -> Prose:
        return said("{rates} 的推导", rates=_and(rates))

    def follows_from(self, loss: Part, value: Part) -> Prose:
        return said("损失为 {loss} = {value}。", loss=loss, value=value)

    def reads_network(self) -> Prose:
        return said("虚线框是已知量，粗框是所求的量；导数沿彩色的线往回传。点击方框或连线可以看到它的公式和数值。")

    def means_of_blocks(self, size: Part) -> Prose:
        return said("一格是至多 {size} 个元素的平均值。", size=size)

    def left_out(self, count: int) -> Prose:
        return said("还有 {count} 步没有列出；full=True 会全部列出。", count=str(count))

    def lines_left_out(self, count: int) -> Prose:
        return said("还有 {count} 行没有列出；full=True 会全部列出。", count=str(count))

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

    def undecided(self, claim: Part) -> Prose:
        return said("{claim} 无法判定：正确的导数在这里不是有限的数。", claim=claim)

    def correct_is(self, claim: Part, formula: Part) -> Prose:
        return said("应当是 {claim} = {formula}。", claim=claim, formula=formula)

    def cannot_tell_apart(self, one: Part, other: Part) -> Prose:
        return said("用这些数据分不出 {one} 和 {other}。", one=one, other=other)

    def can_be_read_as(self, others: Sequence[Part]) -> Prose:
        return said("同一个错误也可以看作：{others}。", others=listed(list(others), "、", "、"))

    def no_known_mistake(self) -> Prose:
        return said("没有已知的错误与之相符。误差的规律如下：")

    def no_known_name(self) -> Prose:
        return said("没有已知的错误与之相符。")

    def wrong_shape(self, claim: Part, got: Part, wanted: Part) -> Prose:
        return said("你的 {claim} 的形状是 {got}，应当是 {wanted}。", claim=claim, got=got, wanted=wanted)

    def cannot_be_computed(self, claim: Part, reason: Part) -> Prose:
        return said("{claim} 无法计算：{reason}。", claim=claim, reason=reason)

    def shapes_do_not_fit(self, claim: Part, shapes: Part) -> Prose:
        return said("{claim} 无法计算，形状不匹配：{shapes}。", claim=claim, shapes=shapes)

    def in_line(self, line: int) -> Prose:
        return said("第 {line} 行", line=str(line))

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

    def partial_credit(self, mistake: Part) -> Prose:
        return said("得到部分分数，因为只有一处已知的错误：{mistake}。", mistake=mistake)

    # ---- diagnose ----------------------------------------------------------------------------------------------
    def gradient_shrinks(self, layer: Part, factor: Part, depth: int) -> Prose:
        way = "从输出往回到层 {layer}，经过 {depth} 层，梯度缩小为 {factor} 分之一。"
        return said(way, layer=layer, factor=factor, depth=str(depth))

    def gradient_grows(self, layer: Part, factor: Part, depth: int) -> Prose:
        way = "从输出往回到层 {layer}，经过 {depth} 层，梯度增大到 {factor} 倍。"
        return said(way, layer=layer, factor=factor, depth=str(depth))

    def gradient_changes(self, layer: Part, factor: Part, depth: int) -> Prose:
        way = "从输出往回到层 {layer}，经过 {depth} 层，梯度的数量级不变（×{factor}）。"
        return said(way, layer=layer, factor=factor, depth=str(depth))

    def gradient_ends(self, layer: Part, op: Part, where: Part) -> Prose:
        place = "（{where}）" if where else ""
        return said("从层 {layer} 往下梯度恰好为 0，丢失之处是 {op}" + place + "。", layer=layer, op=op, where=where)

    def gradient_underflows(self, layer: Part, op: Part, where: Part) -> Prose:
        place = "（{where}）" if where else ""
        return said("从层 {layer} 往下梯度小到其浮点类型无法表示，恰好变为 0，始于 {op}" + place + "。",
                    layer=layer, op=op, where=where)  # fmt: skip

    def gradient_not_finite(self, layer: Part, op: Part, where: Part) -> Prose:
        place = "（{where}）" if where else ""
        return said("从层 {layer} 往下梯度不是有限的数，始于 {op}" + place + "。", layer=layer, op=op, where=where)

    def not_finite_in_inputs(self) -> Prose:
        return said("输入中有非有限的数。")

    def not_finite_in_parameter(self, name: Part) -> Prose:
        return said("参数 {name} 中有非有限的数。", name=name)

    def not_finite_forward(self, op: Part, where: Part) -> Prose:
        place = "（{where}）" if where else ""
        return said("第一个非有限的数是 {op} 的结果" + place + "。", op=op, where=where)

    def not_finite_backward(self, op: Part, where: Part) -> Prose:
        place = "（{where}）" if where else ""
        return said("第一个非有限的数是 {op} 的导数" + place + "。", op=op, where=where)

    def inside(self, module: Part, line: Part) -> Prose:
        at = "位于 {line}" if line else ""
        return said("，".join(filter(None, ("模块 {module}" if module else "", at))), module=module, line=line)

    def share_of_change(self, percent: Part) -> Prose:
        return said("占变化的 {percent}", percent=percent)

    def may_mend(self, families: Sequence[Part]) -> Prose:
        return said("可以试：{families}。", families=listed(list(families), "、", "、"))

    def tried_with(self) -> Prose:
        return said("哪个办法有效，--try 会在副本上测出（Python 中用 cr.diagnose.remedies）。")

    def recommends(self, remedy: Part) -> Prose:
        return said("推荐：{remedy}。", remedy=remedy)

    def improves_gain(self, before: Part, after: Part) -> Prose:
        return said("全部各层的对数增益由 {before} 变为 {after}。", before=before, after=after)

    def improves_loss(self, before: Part, after: Part, steps: int) -> Prose:
        return said("{steps} 步之后的损失由 {before} 变为 {after}。", before=before, after=after, steps=str(steps))

    def no_finding(self) -> Prose:
        return said("没有发现妨碍梯度起作用的问题。")

    def learning_rate_not_judged(self) -> Prose:
        return said("没有给出优化器，因此未判断学习率。")

    def reads_ledger(self) -> Prose:
        return said("从上一层到这一层，向左表示梯度变小，向右表示变大。各原因之和恰好等于竖线处的值。")

    def reads_panels(self) -> Prose:
        return said("各层梯度 δ 的大小与输出处之比。细线是每层乘以固定倍数的结果，供对照。")

    def in_other_panel(self) -> Prose:
        return said("此网络在另一幅图中。")

    def reads_histograms(self) -> Prose:
        return said("各种斜率所占的份额，横轴是与最大斜率之比：左端梯度传不过去。平坦：低于 5%。")

    def reads_layers(self) -> Prose:
        return said("从输出往回。z 是一层的加权和，δ = dL/dz；对数增益 −0.69 使 δ 减半，−2.30 只剩十分之一。")

    def reads_remedies(self) -> Prose:
        return said(
            "对数增益接近 0，梯度在往回的途中大小不变。"
            "比较训练效果时，损失须比未改动的副本低 10%，并且低于两者的起点，才算有改善。"
        )

    def reads_parameters(self) -> Prose:
        return said("w 是参数，Δw 是下一步的更新量，通常约为参数的千分之一。")

    def layers_together(self, count: int) -> Prose:
        return said("相邻的 {count} 层合成一条，它们的增益相加。", count=str(count))

    def watched(self, steps: int, looks: int, share: Part) -> Prose:
        return said(
            "{steps} 步中观测了 {looks} 次，占用时间的 {share}。", steps=str(steps), looks=str(looks), share=share
        )

    def reads_heat_map(self) -> Prose:
        return said("每一列是一次观测，每一行是一层；颜色越浓，数值越大。")

    def nothing_helps(self) -> Prose:
        return said("试过的办法都没有改善，因此不作推荐。")

    def nothing_to_try(self) -> Prose:
        return said("对于诊断结果，没有可以试的办法。")

    def more_findings(self, count: int) -> Prose:
        return said("另有 {count} 项诊断结果见报告。", count=str(count))


def _and(parts: Sequence[Part]) -> Prose:
    return listed(list(parts), "、", "、" if parts[-1:] == ["…"] else " 和 ")
