"""Words for what captions say of a product, in English and Chinese, and which value they name.

The values are those of the attribute table that the captions come from. A line is
`value: English words | Chinese words`; the first word of each language is the caption's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

LANGUAGES = ("en", "zh")
ATTRIBUTES = ("type", "colour", "gender", "occasion")  # those that verdicts are about


@dataclass(frozen=True)
class Meaning:
    """What a word says: its role (`type`, `colour` ..., `part`, `join` ...) and the value."""

    role: str
    value: str


# What is joined, opened by "with", turned to a purpose, put behind its noun, or says nothing.
GRAMMAR = """
join: and, plus, & | 和, 与, 以及, 加, 跟
with: with, worn with, having, featuring | 搭配, 配, 带有, 带, 附
purpose: to, go with, goes with, under, over, like, against | 用来, 用于
behind: in, for, of |
silent: a, an, the, my, some, is, it, its, that, made | 的, 款, 穿, 一件, 一双, 一个, 一条, 给, 我
"""

COLOURS = """
Beige: beige, sand | 米色, 杏色
Black: black, jet black, ebony | 黑色, 黑, 纯黑
Blue: blue, azure, cobalt | 蓝色, 蓝, 宝蓝, 天蓝
Bronze: bronze | 古铜色, 青铜色
Brown: brown, chocolate, chestnut | 棕色, 棕, 褐色
Burgundy: burgundy, wine | 酒红色, 酒红
Charcoal: charcoal | 炭灰色, 炭灰
Coffee Brown: coffee brown, coffee | 咖啡色, 咖色
Copper: copper | 铜色
Cream: cream, ivory | 奶油色, 奶白
Fluorescent Green: fluorescent green, neon green | 荧光绿
Gold: gold, golden | 金色, 金
Green: green, emerald | 绿色, 绿, 翠绿
Grey: grey, gray, ash | 灰色, 灰
Grey Melange: grey melange, heather grey | 麻灰色, 麻灰
Khaki: khaki | 卡其色, 卡其
Lavender: lavender | 薰衣草紫
Lime Green: lime green, lime | 青柠绿
Magenta: magenta, fuchsia | 洋红色, 洋红, 桃红
Maroon: maroon, oxblood | 栗色, 暗红
Mauve: mauve | 淡紫色
Metallic: metallic | 金属色
Multi: multicolour, multicolor, multicoloured, colourful | 多色, 彩色, 花色
Mushroom Brown: mushroom brown | 蘑菇棕
Mustard: mustard | 芥末黄, 姜黄
Navy Blue: navy blue, navy, midnight blue | 藏青色, 藏青, 藏蓝, 深蓝
Nude: nude | 裸色
Off White: off white, off-white | 米白色, 米白
Olive: olive, army green | 橄榄色, 橄榄绿, 军绿
Orange: orange, tangerine | 橙色, 橙, 橘色
Peach: peach | 桃色
Pink: pink, blush | 粉色, 粉, 粉红
Purple: purple, violet, lilac | 紫色, 紫
Red: red, scarlet, crimson | 红色, 红, 大红
Rose: rose | 玫瑰色
Rust: rust | 铁锈色
Sea Green: sea green | 海绿色
Silver: silver, chrome | 银色, 银
Skin: skin | 肤色
Steel: steel | 钢色
Tan: tan, camel | 棕褐色, 驼色
Taupe: taupe | 灰褐色
Teal: teal | 蓝绿色
Turquoise Blue: turquoise blue, turquoise | 绿松石蓝
White: white, snow white | 白色, 白, 雪白, 纯白
Yellow: yellow, lemon | 黄色, 黄, 嫩黄
"""

GENDERS = """
Men: men, man, mens, male, gents, gent, guy, him, his, boy, lad, husband, dad, boyfriend \
| 男士, 男, 男生, 男人, 男式, 男性, 先生, 老公, 爸爸
Women: women, woman, womens, female, ladies, lady, her, girl, she, wife, mum, girlfriend \
| 女士, 女, 女生, 女人, 女式, 女性, 小姐, 老婆, 妈妈
Unisex: unisex, everyone, anyone | 中性, 男女通用, 男女皆宜
"""

OCCASIONS = """
Casual: casual, everyday, leisure | 休闲, 日常
Ethnic: ethnic, traditional | 民族, 民族风
Formal: formal, office, business, dressy | 正装, 正式, 商务, 上班
Home: home, lounge | 居家, 家居
Party: party, evening | 派对, 晚会
Smart Casual: smart casual | 商务休闲
Sports: sports, sport, gym, running, athletic | 运动, 健身, 跑步
Travel: travel | 旅行, 出游
"""

PATTERNS = """
floral: floral, flower | 碎花, 花卉
striped: striped, stripe, stripy | 条纹
checked: checked, check, checkered, plaid | 格纹, 格子
printed: printed, print, graphic | 印花
solid: solid, plain | 纯色, 素色
polo: polo | polo款, polo
embroidered: embroidered | 刺绣
cable-knit: cable-knit, cable knit | 绞花针织
"""

MATERIALS = """
leather: leather | 皮革, 真皮, 皮质
denim: denim | 牛仔
cotton: cotton | 棉, 纯棉, 棉质
silk: silk, satin | 丝绸, 真丝
wool: wool, woollen | 羊毛
linen: linen | 亚麻
canvas: canvas | 帆布
suede: suede | 麂皮
chiffon: chiffon | 雪纺
"""

PARTS = """
chain: chain | 链条, 链子
strap: strap | 带子, 肩带
buckle: buckle | 扣, 搭扣
sole: sole | 鞋底
collar: collar | 领子, 衣领, 领口
lining: lining | 内衬, 里衬
button: button | 纽扣, 扣子
zip: zip, zipper | 拉链
pocket: pocket | 口袋
dial: dial | 表盘
handle: handle | 提手
trim: trim | 滚边, 镶边
logo: logo | 标志, 徽标
sleeve: sleeve | 袖子
hood: hood | 兜帽
"""

TYPES = """
Accessory Gift Set: accessory gift set, gift set | 配饰礼盒
Backpacks: backpack, school bag | 双肩包, 背包, 书包
Bangle: bangle | 手镯
Belts: belt | 皮带, 腰带
Blazers: blazer | 西装外套
Booties: booties, ankle boots | 短靴
Bracelet: bracelet | 手链
Capris: capris | 七分裤
Caps: cap, baseball cap | 棒球帽, 鸭舌帽
Casual Shoes: casual shoes, sneaker | 休闲鞋, 板鞋, 小白鞋
Churidar: churidar | 紧身裤
Clothing Set: clothing set | 服装套装
Clutches: clutch | 手拿包
Cufflinks: cufflinks, cufflink | 袖扣
Dresses: dress, frock | 连衣裙, 裙子
Duffel Bag: duffel bag, holdall | 行李袋
Dupatta: dupatta | 杜帕塔披巾
Earrings: earrings, earring | 耳环
Flats: flats, ballerinas | 平底鞋, 豆豆鞋
Flip Flops: flip flops, flip-flops | 人字拖, 夹脚拖
Formal Shoes: formal shoes, dress shoes, brogues | 正装鞋, 皮鞋
Gloves: gloves, glove | 手套
Handbags: handbag, purse, tote | 手提包, 女包, 托特包
Hat: hat | 帽子
Headband: headband | 发带
Heels: heels, stilettos, pumps, high heels | 高跟鞋, 细跟鞋
Jackets: jacket, windbreaker, bomber | 夹克, 外套
Jeans: jeans | 牛仔裤
Jeggings: jeggings | 牛仔打底裤
Jewellery Set: jewellery set | 首饰套装
Jumpsuit: jumpsuit | 连体裤
Kurta Sets: kurta set | 库尔塔套装
Kurtas: kurta | 库尔塔长衫, 印度长衫
Kurtis: kurti | 短款库尔塔
Laptop Bag: laptop bag | 电脑包
Leggings: leggings | 打底裤
Lehenga Choli: lehenga choli | 莱亨加套裙
Messenger Bag: messenger bag | 邮差包
Mobile Pouch: mobile pouch | 手机袋
Mufflers: muffler | 围脖
Necklace and Chains: necklace | 项链
Nehru Jackets: nehru jacket | 尼赫鲁马甲
Patiala: patiala | 帕蒂亚拉裤
Pendant: pendant | 吊坠
Rain Jacket: rain jacket, raincoat | 雨衣
Rain Trousers: rain trousers | 雨裤
Ring: ring | 戒指
Rompers: romper | 连体短裤
Rucksacks: rucksack | 登山包
Salwar: salwar | 沙瓦裤
Salwar and Dupatta: salwar and dupatta | 沙瓦裤与披巾套装
Sandals: sandals, sandal | 凉鞋
Sarees: saree, sari | 纱丽
Scarves: scarf, scarves | 围巾
Shirts: shirt, button-down, button-up | 衬衫, 衬衣
Shoe Accessories: shoe accessories | 鞋配件
Shoe Laces: shoe laces, shoelaces | 鞋带
Shorts: shorts, bermudas | 短裤, 五分裤
Shrug: shrug | 小披肩
Skirts: skirt | 半身裙
Socks: socks, sock | 袜子, 短袜
Sports Sandals: sports sandals | 运动凉鞋
Sports Shoes: sports shoes, trainers, running shoes | 运动鞋, 跑鞋, 慢跑鞋
Stockings: stockings | 长筒袜
Stoles: stole | 披肩
Suits: suit | 西装套装, 西装
Sunglasses: sunglasses, shades | 太阳镜, 墨镜
Suspenders: suspenders | 背带
Sweaters: sweater, jumper, pullover | 毛衣, 针织衫
Sweatshirts: sweatshirt, hoodie | 卫衣
Tablet Sleeve: tablet sleeve | 平板电脑包
Ties: tie, necktie | 领带
Ties and Cufflinks: tie and cufflinks | 领带与袖扣套装
Tights: tights | 紧身裤袜
Tops: top, blouse | 上衣
Track Pants: track pants, joggers | 运动裤
Tracksuits: tracksuit | 运动套装
Travel Accessory: travel accessory | 旅行配件
Trolley Bag: trolley bag | 拉杆箱
Trousers: trousers, slacks, chinos | 长裤, 西裤
Tshirts: t-shirt, tee, tshirt | t恤, 短袖
Tunics: tunic | 束腰上衣
Umbrellas: umbrella | 雨伞
Waist Pouch: waist pouch | 腰包
Waistcoat: waistcoat | 马甲
Wallets: wallet, billfold | 钱包, 钱夹
Watches: watch, wristwatch | 手表, 腕表
Wristbands: wristband | 护腕
shoes: shoes, shoe, footwear | 鞋, 鞋子
bag: bag | 包, 包包
"""

TABLES = {
    "type": TYPES, "colour": COLOURS, "gender": GENDERS, "occasion": OCCASIONS,
    "pattern": PATTERNS, "material": MATERIALS, "part": PARTS,
}  # fmt: skip

# What a value is a kind of: who asks for the wider one is content with the narrower.
_WIDER = {
    "Blue": ("Navy Blue", "Turquoise Blue"),
    "Brown": ("Coffee Brown", "Mushroom Brown", "Tan"),
    "Green": ("Olive", "Lime Green", "Sea Green", "Fluorescent Green"),
    "Grey": ("Charcoal", "Grey Melange"),
    "Purple": ("Lavender", "Mauve"),
    "Red": ("Maroon", "Burgundy"),
    "White": ("Off White",),
    "Yellow": ("Mustard",),
    "Casual": ("Smart Casual",),
    "Jackets": ("Nehru Jackets", "Rain Jacket"),
    "Sandals": ("Sports Sandals",),
    "shoes": ("Casual Shoes", "Formal Shoes", "Sports Shoes", "Heels", "Flats"),
    "bag": ("Backpacks", "Handbags", "Duffel Bag", "Laptop Bag", "Messenger Bag"),
}
WIDER = {narrow: wide for wide, narrows in _WIDER.items() for narrow in narrows}


@cache
def words_of(role: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """Words by value and language of a role: `words_of("colour")["Red"]["zh"]`."""
    return read_table(TABLES[role])


def read_table(table: str) -> dict[str, dict[str, tuple[str, ...]]]:
    """The words of a table, by value and language."""
    values: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in table.strip().splitlines():
        value, _, words = line.partition(":")
        halves = words.split("|")
        values[value] = {
            language: tuple(word.strip() for word in half.split(",") if word.strip())
            for language, half in zip(LANGUAGES, halves, strict=True)
        }
    return values


@cache
def meanings() -> dict[str, Meaning]:
    """What every word of the lexicon says. Of a word in two tables the first table counts."""
    found: dict[str, Meaning] = {}
    for role in reversed(TABLES):
        for value, languages in words_of(role).items():
            found |= {w: Meaning(role, value) for ws in languages.values() for w in ws}
    for role, languages in read_table(GRAMMAR).items():
        found |= {w: Meaning(role, "") for ws in languages.values() for w in ws}
    return found


@cache
def pattern() -> re.Pattern[str]:
    """Finds the words of the lexicon, longest first, and around them words of any other kind."""
    by_length = sorted(meanings(), key=lambda word: (-len(word), word))
    latin = [re.escape(word) for word in by_length if word.isascii()]
    other = [re.escape(word) for word in by_length if not word.isascii()]
    alone = r"(?<![^\W\u3400-\u9fff])(?:{})(?![^\W\u3400-\u9fff])"
    return re.compile(
        "(?P<latin>" + alone.format(f"(?P<form>{'|'.join(latin)})(?:'s|s'|es|s)?") + ")"
        f"|(?P<chinese>{'|'.join(other)})"
        r"|(?P<unknown>[\u3400-\u9fff]|[^\W\u3400-\u9fff]+(?:['-][^\W\u3400-\u9fff]+)*)"
        r"|(?P<mark>[,;.!?:|/+，；。、！？：…])"
    )


def canonical(role: str, value: str, language: str) -> str:
    """The caption's own word for a value; the value itself where there is none."""
    words = words_of(role).get(value, {}).get(language)
    return words[0] if words else value
