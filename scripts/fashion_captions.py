"""Captions in English and Chinese for one row of the "Fashion Product Images" attribute table.

Only words live here. A row's gender, article type, colour and usage are looked up, patterns are
read from the shop's title, and the phrases are put together; nothing is random.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

ABSENT = ("", "NA")  # how the table says that it does not know


class Noun(NamedTuple):
    """An article type in both languages; `plural` ones take no article ("jeans")."""

    english: str
    chinese: str
    plural: bool = False


@dataclass(frozen=True)
class Product:
    """One row of the table, with its own words: `type` is articleType, `colour` baseColour."""

    id: str
    title: str
    gender: str
    category: str
    type: str
    colour: str
    usage: str

    @property
    def patterns(self) -> list[str]:
        """Patterns and materials that the title names, in the order captions name them."""
        title = self.title.lower()
        for brand in BRANDS_LIKE_PATTERNS:
            title = title.replace(brand, "")
        return [name for name, regex in PATTERN_WORDS.items() if re.search(regex, title)]

    @property
    def known(self) -> bool:
        """Whether there are words in both languages for everything the row says."""
        return (
            self.gender in GENDERS
            and self.type in NOUNS
            and (self.colour in COLOURS or self.colour in ABSENT)
            and (self.usage in USAGES or self.usage in ABSENT)
        )


def record(product: Product) -> dict[str, object]:
    """The JSON record of a product: canonical captions, paraphrases, attributes.

    Raises:
        KeyError: `product.known` is false.
    """
    english, chinese = english_captions(product), chinese_captions(product)
    return {
        "id": product.id,
        "text": english[0],
        "text_zh": chinese[0],
        "captions": list(dict.fromkeys([*english, product.title, *chinese])),
        "title": product.title,
        "gender": product.gender,
        "category": product.category,
        "type": product.type,
        "colour": product.colour,
        "usage": product.usage,
        "patterns": product.patterns,
    }


def english_captions(product: Product) -> list[str]:
    """Canonical phrase, "… for men", comma-separated, and colour with noun."""
    noun = NOUNS[product.type]
    owner, _, audience = GENDERS[product.gender]
    colour = COLOURS.get(product.colour, ("", ""))[0]
    patterns = " ".join(product.patterns)
    usage = "" if _names_usage(noun, product.usage) else USAGES.get(product.usage, ("", ""))[0]
    phrase = _spaced(colour, patterns, usage, noun.english)
    return [
        _spaced(owner, phrase),
        _spaced("" if noun.plural else _article(phrase), phrase, "for", audience),
        ", ".join(part for part in (noun.english, colour, patterns, usage, owner) if part),
        _spaced(colour, noun.english),
    ]


def chinese_captions(product: Product) -> list[str]:
    """Canonical phrase, the same without the wearer, and colour with noun."""
    noun = NOUNS[product.type]
    wearer = GENDERS[product.gender].chinese
    colour = COLOURS.get(product.colour, ("", ""))[1]
    patterns = "".join(PATTERNS_ZH[name] for name in product.patterns)
    usage = USAGES.get(product.usage, ("", ""))[1]
    if _names_usage(noun, product.usage) or (usage and noun.chinese.startswith(usage)):
        usage = ""
    phrase = colour + patterns + usage + noun.chinese
    return [wearer + phrase, phrase, f"{colour}的{noun.chinese}" if colour else noun.chinese]


def _names_usage(noun: Noun, usage: str) -> bool:
    """Whether the noun says by itself what it is for: "casual shoes" are not also "sports"."""
    first = noun.english.partition(" ")[0]
    return first in ("casual", "formal", "sports") or first == usage.lower()


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def _spaced(*parts: str) -> str:
    return " ".join(part for part in parts if part)


class Gender(NamedTuple):
    """Whose it is, in both languages, and "for whom"."""

    english: str
    chinese: str
    audience: str


GENDERS = {
    "Men": Gender("men's", "男士", "men"),
    "Women": Gender("women's", "女士", "women"),
    "Unisex": Gender("unisex", "中性", "everyone"),
}

USAGES = {
    "Casual": ("casual", "休闲"),
    "Ethnic": ("ethnic", "民族"),
    "Formal": ("formal", "正装"),
    "Home": ("home", "居家"),
    "Party": ("party", "派对"),
    "Smart Casual": ("smart casual", "商务休闲"),
    "Sports": ("sports", "运动"),
    "Travel": ("travel", "旅行"),
}

# A brand that is called like a collar; other brands with "Polo" in their name do sell polo shirts.
BRANDS_LIKE_PATTERNS = ("u.s. polo assn",)

PATTERN_WORDS = {
    "floral": r"\b(floral|flowers?)\b",
    "striped": r"\b(stripes?|stripp?ed)\b",
    "checked": r"\b(checks?|checked|checkered)\b",
    "printed": r"\b(prints?|printed|graphics?)\b",
    "solid": r"\bsolid\b",
    "polo": r"\bpolo\b",
    "leather": r"\bleather\b",
    "denim": r"\bdenim\b",
    "embroidered": r"\b(embroidered|embroidery|thread work)\b",
    "cable-knit": r"\bcable\b",
}

PATTERNS_ZH = {
    "floral": "碎花",
    "striped": "条纹",
    "checked": "格纹",
    "printed": "印花",
    "solid": "纯色",
    "polo": "polo款",
    "leather": "皮革",
    "denim": "牛仔",
    "embroidered": "刺绣",
    "cable-knit": "绞花针织",
}

COLOURS = {
    "Beige": ("beige", "米色"),
    "Black": ("black", "黑色"),
    "Blue": ("blue", "蓝色"),
    "Bronze": ("bronze", "古铜色"),
    "Brown": ("brown", "棕色"),
    "Burgundy": ("burgundy", "酒红色"),
    "Charcoal": ("charcoal", "炭灰色"),
    "Coffee Brown": ("coffee brown", "咖啡色"),
    "Copper": ("copper", "铜色"),
    "Cream": ("cream", "奶油色"),
    "Fluorescent Green": ("fluorescent green", "荧光绿"),
    "Gold": ("gold", "金色"),
    "Green": ("green", "绿色"),
    "Grey": ("grey", "灰色"),
    "Grey Melange": ("grey melange", "麻灰色"),
    "Khaki": ("khaki", "卡其色"),
    "Lavender": ("lavender", "薰衣草紫"),
    "Lime Green": ("lime green", "青柠绿"),
    "Magenta": ("magenta", "洋红色"),
    "Maroon": ("maroon", "栗色"),
    "Mauve": ("mauve", "淡紫色"),
    "Metallic": ("metallic", "金属色"),
    "Multi": ("multicolour", "多色"),
    "Mushroom Brown": ("mushroom brown", "蘑菇棕"),
    "Mustard": ("mustard", "芥末黄"),
    "Navy Blue": ("navy blue", "藏青色"),
    "Nude": ("nude", "裸色"),
    "Off White": ("off white", "米白色"),
    "Olive": ("olive", "橄榄色"),
    "Orange": ("orange", "橙色"),
    "Peach": ("peach", "桃色"),
    "Pink": ("pink", "粉色"),
    "Purple": ("purple", "紫色"),
    "Red": ("red", "红色"),
    "Rose": ("rose", "玫瑰色"),
    "Rust": ("rust", "铁锈色"),
    "Sea Green": ("sea green", "海绿色"),
    "Silver": ("silver", "银色"),
    "Skin": ("skin", "肤色"),
    "Steel": ("steel", "钢色"),
    "Tan": ("tan", "棕褐色"),
    "Taupe": ("taupe", "灰褐色"),
    "Teal": ("teal", "蓝绿色"),
    "Turquoise Blue": ("turquoise blue", "绿松石蓝"),
    "White": ("white", "白色"),
    "Yellow": ("yellow", "黄色"),
}

NOUNS = {
    # clothes
    "Blazers": Noun("blazer", "西装外套"),
    "Capris": Noun("capris", "七分裤", plural=True),
    "Churidar": Noun("churidar", "紧身裤"),
    "Clothing Set": Noun("clothing set", "服装套装"),
    "Dresses": Noun("dress", "连衣裙"),
    "Dupatta": Noun("dupatta", "杜帕塔披巾"),
    "Jackets": Noun("jacket", "夹克"),
    "Jeans": Noun("jeans", "牛仔裤", plural=True),
    "Jeggings": Noun("jeggings", "牛仔打底裤", plural=True),
    "Jumpsuit": Noun("jumpsuit", "连体裤"),
    "Kurta Sets": Noun("kurta set", "库尔塔套装"),
    "Kurtas": Noun("kurta", "库尔塔长衫"),
    "Kurtis": Noun("kurti", "短款库尔塔"),
    "Leggings": Noun("leggings", "打底裤", plural=True),
    "Lehenga Choli": Noun("lehenga choli", "莱亨加套裙"),
    "Nehru Jackets": Noun("nehru jacket", "尼赫鲁马甲"),
    "Patiala": Noun("patiala", "帕蒂亚拉裤"),
    "Rain Jacket": Noun("rain jacket", "雨衣"),
    "Rain Trousers": Noun("rain trousers", "雨裤", plural=True),
    "Rompers": Noun("romper", "连体短裤"),
    "Salwar": Noun("salwar", "沙瓦裤"),
    "Salwar and Dupatta": Noun("salwar and dupatta", "沙瓦裤与披巾套装"),
    "Sarees": Noun("saree", "纱丽"),
    "Shirts": Noun("shirt", "衬衫"),
    "Shorts": Noun("shorts", "短裤", plural=True),
    "Shrug": Noun("shrug", "小披肩"),
    "Skirts": Noun("skirt", "半身裙"),
    "Stockings": Noun("stockings", "长筒袜", plural=True),
    "Suits": Noun("suit", "西装套装"),
    "Suspenders": Noun("suspenders", "背带", plural=True),
    "Sweaters": Noun("sweater", "毛衣"),
    "Sweatshirts": Noun("sweatshirt", "卫衣"),
    "Tights": Noun("tights", "紧身裤袜", plural=True),
    "Tops": Noun("top", "上衣"),
    "Track Pants": Noun("track pants", "运动裤", plural=True),
    "Tracksuits": Noun("tracksuit", "运动套装"),
    "Trousers": Noun("trousers", "长裤", plural=True),
    "Tshirts": Noun("t-shirt", "T恤"),
    "Tunics": Noun("tunic", "束腰上衣"),
    "Waistcoat": Noun("waistcoat", "马甲"),
    # shoes
    "Booties": Noun("booties", "短靴", plural=True),
    "Casual Shoes": Noun("casual shoes", "休闲鞋", plural=True),
    "Flats": Noun("flats", "平底鞋", plural=True),
    "Flip Flops": Noun("flip flops", "人字拖", plural=True),
    "Formal Shoes": Noun("formal shoes", "正装鞋", plural=True),
    "Heels": Noun("heels", "高跟鞋", plural=True),
    "Sandals": Noun("sandals", "凉鞋", plural=True),
    "Sports Sandals": Noun("sports sandals", "运动凉鞋", plural=True),
    "Sports Shoes": Noun("sports shoes", "运动鞋", plural=True),
    # accessories
    "Accessory Gift Set": Noun("accessory gift set", "配饰礼盒"),
    "Backpacks": Noun("backpack", "双肩包"),
    "Bangle": Noun("bangle", "手镯"),
    "Belts": Noun("belt", "皮带"),
    "Bracelet": Noun("bracelet", "手链"),
    "Caps": Noun("cap", "棒球帽"),
    "Clutches": Noun("clutch", "手拿包"),
    "Cufflinks": Noun("cufflinks", "袖扣", plural=True),
    "Duffel Bag": Noun("duffel bag", "行李袋"),
    "Earrings": Noun("earrings", "耳环", plural=True),
    "Gloves": Noun("gloves", "手套", plural=True),
    "Handbags": Noun("handbag", "手提包"),
    "Hat": Noun("hat", "帽子"),
    "Headband": Noun("headband", "发带"),
    "Jewellery Set": Noun("jewellery set", "首饰套装"),
    "Laptop Bag": Noun("laptop bag", "电脑包"),
    "Messenger Bag": Noun("messenger bag", "邮差包"),
    "Mobile Pouch": Noun("mobile pouch", "手机袋"),
    "Mufflers": Noun("muffler", "围脖"),
    "Necklace and Chains": Noun("necklace", "项链"),
    "Pendant": Noun("pendant", "吊坠"),
    "Ring": Noun("ring", "戒指"),
    "Rucksacks": Noun("rucksack", "登山包"),
    "Scarves": Noun("scarf", "围巾"),
    "Shoe Accessories": Noun("shoe accessories", "鞋配件", plural=True),
    "Shoe Laces": Noun("shoe laces", "鞋带", plural=True),
    "Socks": Noun("socks", "袜子", plural=True),
    "Stoles": Noun("stole", "披肩"),
    "Sunglasses": Noun("sunglasses", "太阳镜", plural=True),
    "Tablet Sleeve": Noun("tablet sleeve", "平板电脑包"),
    "Ties": Noun("tie", "领带"),
    "Ties and Cufflinks": Noun("tie and cufflinks", "领带与袖扣套装"),
    "Travel Accessory": Noun("travel accessory", "旅行配件"),
    "Trolley Bag": Noun("trolley bag", "拉杆箱"),
    "Umbrellas": Noun("umbrella", "雨伞"),
    "Waist Pouch": Noun("waist pouch", "腰包"),
    "Wallets": Noun("wallet", "钱包"),
    "Watches": Noun("watch", "手表"),
    "Wristbands": Noun("wristband", "护腕"),
}
