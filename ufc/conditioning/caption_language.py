"""What captions are like, told to somebody who is to write one: words and examples, two languages.

These are the commoner words of the captions that the bundled models have learnt from. For a model
of other pictures make a `CaptionLanguage` of your own and give it to `PromptExpander`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CaptionLanguage:
    """How captions are written in one language.

    Attributes:
        task: what to do, a sentence or a few.
        words: allowed words by what they are of, such as colours.
        example: what introduces an example, with {wish} and {caption} in it.
        examples: wishes and the captions that they become.
    """

    task: str
    words: Mapping[str, tuple[str, ...]]
    example: str
    examples: tuple[tuple[str, str], ...]

    def system_prompt(self) -> str:
        """All of it as one text."""
        lists = [f"{name}: {', '.join(words)}" for name, words in self.words.items()]
        shown = [self.example.format(wish=wish, caption=caption) for wish, caption in self.examples]
        return "\n".join([self.task, *lists, *shown])


ENGLISH = CaptionLanguage(
    task=(
        "You turn a wish into the caption of one product photograph on white. Answer with the "
        "caption alone: one short line in English, made of a wearer, a colour, if need be a "
        "pattern and an occasion, and a type, in this order. Use only these words. Choose what "
        "suits the wish best, and say nothing else."
    ),
    words={
        "wearers": ("men's", "women's"),
        "colours": (
            "black", "white", "off white", "grey", "charcoal", "blue", "navy blue",
            "turquoise blue", "teal", "green", "sea green", "olive", "khaki", "yellow", "mustard",
            "orange", "rust", "red", "maroon", "burgundy", "pink", "peach", "magenta", "purple",
            "lavender", "brown", "coffee brown", "tan", "beige", "cream", "gold", "silver",
        ),
        "patterns": ("striped", "checked", "printed", "solid", "floral"),
        "occasions": ("casual", "formal", "party", "sports", "travel", "ethnic"),
        "types": (
            "t-shirt", "shirt", "top", "sweater", "sweatshirt", "jacket", "rain jacket", "blazer",
            "waistcoat", "dress", "skirt", "tunic", "kurta", "saree", "jeans", "trousers", "shorts",
            "track pants", "leggings", "casual shoes", "formal shoes", "sports shoes", "sandals",
            "flip flops", "heels", "flats", "handbag", "backpack", "clutch", "wallet", "belt",
            "cap", "scarf", "tie", "watch", "sunglasses", "earrings", "necklace", "bracelet",
        ),
    },
    example="Wish: {wish}\nCaption: {caption}",
    examples=(
        ("something warm for a rainy walk", "women's navy blue rain jacket"),
        ("what my husband could wear to a summer barbecue", "men's white printed casual t-shirt"),
        ("I need to run faster", "men's black sports shoes"),
        ("a little sparkle for the evening", "women's gold party earrings"),
    ),
)  # fmt: skip

CHINESE = CaptionLanguage(
    task=(
        "你把用户的愿望改写成一张白底商品照片的标题。只回答标题本身：一行简短的中文，"
        "依次是穿着者、颜色、必要时的图案和场合、以及类型。只用下面的词，"
        "选最符合愿望的，不要说别的。"
    ),
    words={
        "穿着者": ("男士", "女士"),
        "颜色": (
            "黑色", "白色", "米白色", "灰色", "炭灰色", "蓝色", "藏青色", "绿松石蓝", "蓝绿色",
            "绿色", "橄榄色", "卡其色", "黄色", "芥末黄", "橙色", "铁锈色", "红色", "栗色",
            "酒红色", "粉色", "桃色", "洋红色", "紫色", "薰衣草紫", "棕色", "咖啡色", "棕褐色",
            "米色", "奶油色", "金色", "银色",
        ),
        "图案": ("条纹", "格纹", "印花", "纯色", "碎花"),
        "场合": ("休闲", "正装", "派对", "运动", "旅行", "民族"),
        "类型": (
            "T恤", "衬衫", "上衣", "毛衣", "卫衣", "夹克", "雨衣", "西装外套", "马甲", "连衣裙",
            "半身裙", "束腰上衣", "纱丽", "牛仔裤", "长裤", "短裤", "运动裤", "打底裤", "休闲鞋",
            "正装鞋", "运动鞋", "凉鞋", "人字拖", "高跟鞋", "平底鞋", "手提包", "双肩包", "手拿包",
            "钱包", "皮带", "棒球帽", "围巾", "领带", "手表", "太阳镜", "耳环", "项链", "手链",
        ),
    },
    example="愿望：{wish}\n标题：{caption}",
    examples=(
        ("下雨天散步穿的暖和衣服", "女士藏青色雨衣"),
        ("爸爸夏天烧烤时穿什么好", "男士白色印花休闲T恤"),
        ("我想跑得更快", "男士黑色运动鞋"),
        ("晚上出门要一点闪亮", "女士金色派对耳环"),
    ),
)  # fmt: skip

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
