"""Records what transformers' CLIPTokenizer and the sentencepiece package make of many texts.

    python tests/goldens/record_tokenizer.py        (transformers 5.23, tokenizers 0.23, sentencepiece 0.2.3)

Writes, beside this script:
  tokenizer_corpus.json         texts with their ids: `end` and, where it differs, `zero` (the two pad modes, without
                                frame), for some also the framed 77 ids of both modes
  tokenizer_captions.txt        10,000 generated captions, each after a hash of its ids in both modes
  tokenizer_code_points.txt     per 4096 code points, a hash of the ids of a text around each of them
  tokenizer_sentencepiece.model, .json    a small model with T5's special ids, and texts with their ids;
                                `framed` is what T5Tokenizer makes of them
"""

import contextlib
import json
import random
import tempfile
from pathlib import Path

import sentencepiece
import tokenizers
import transformers

HERE = Path(__file__).resolve().parent
MERGES = HERE.parent.parent / "models" / "emoji" / "merges.txt"
LENGTH = 77


def clip_tokenizer(pad):
    merges = [tuple(line.split()) for line in MERGES.read_text(encoding="utf-8").splitlines()[1:]]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: id for id, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad, model_max_length=LENGTH)


def content(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def framed(tokenizer, text):
    return tokenizer(text, padding="max_length", truncation=True, max_length=LENGTH).input_ids


def write_json(name, versions, **tables):
    """One row a line, so that a difference can be read."""
    parts = [f'"versions":{json.dumps(versions)}']
    for title, table in tables.items():
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in table)
        parts.append(f'"{title}":[\n{rows}\n]')
    (HERE / name).write_text("{" + ",\n".join(parts) + "}\n")


def fnv1a(ids, state=0xCBF29CE484222325):
    """64-bit FNV-1a over the ids, each as four little-endian bytes."""
    for id in ids:
        for byte in id.to_bytes(4, "little"):
            state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


CONTRACTIONS = [f"{word}{quote}{end}" for quote in "'’" for word, end in [
    ("it", "s"), ("don", "t"), ("they", "re"), ("we", "ve"), ("i", "m"), ("he", "ll"), ("she", "d"),
    ("IT", "S"), ("DON", "T"), ("THEY", "RE"), ("WE", "VE"), ("I", "M"), ("HE", "LL"), ("SHE", "D"),
    ("It", "ſ"), ("rock", "n"), ("y", "all"),
]]

CORPUS = [
    # Empty, and every kind of white space and near white space.
    "", " ", "\t", "\u00a0", "\u3000", "\u200b", "\x1c", "a\tb\nc\rd\x0be\x0cf",
    "a\u00a0b\u3000c\u2028d\u2029e\u0085f",
    "a\u200bb", "a\x1cb\x1dc\x1ed\x1fe", "\u2000a\u2001b\u200ac\u202fd\u205fe\u1680f\u180eg\ufeffh",
    "  two  spaces  ",
    # The reference rows of the published constants.
    "a photo of an astronaut riding a horse on mars", "You should've done this", "hello world", "Hello,   WORLD!!",
    "it's they're i'd we'll", "2048x1024 4k", "a\n'll 11p223RF☆ho!!to? of a cat", "a_b-c",
    "(masterpiece:1.2), best quality", "supercalifragilisticexpialidocious", "STRASSE straße",
    *CONTRACTIONS, "' s", "''s", "'S 'RE", "'", "'sit'tree'm", "!'s", "5's",
    # Numbers of every kind.
    "0 1 23 456 7,890.12 -3.5e10", "½ ² ①", "⅓¾x²³y₁₂", "ⅣⅫⅷ Ⅻ", "٣٤ ४५ ５６", "1st 2nd 3D 4K 16:9 50% $5 €9",
    # Scripts.
    "日本語", "東京の桜 カタカナ ｶﾀｶﾅ", "한국어 한국 각", "중국中国", "العربية مَرْحَبًا", "हिन्दी क्षत्रिय नमस्ते", "ภาษาไทยสวยงาม",
    "Ελληνικά ΟΔΟΣ ὈΔΥΣΣΕΎΣ", "Русский Ёлка ЩУКА", "עברית שָׁלוֹם", "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "Հայերեն", "தமிழ்",
    "ᎣᏏᏲ ꭳꮟꮿ", "𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝒳", "𐐀𐐨", "𒀀𒁀",
    # Emoji: single, joined, flags, skin tones, keycaps, text style.
    "😀", "👩‍👩‍👧‍👦 👨🏽‍🚀 ❤️‍🔥", "🇩🇪🇯🇵🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👍🏻👍🏿", "1️⃣ #️⃣", "☂︎ ☂️", "a😀b 😀😀 cat🐱dog",
    # Equal after NFC, and marks whose order or whose composition Unicode changed after version 10.
    "café", "cafe\u0301", "Å \u212b A\u030a", "q\u0323\u0307 q\u0307\u0323", "각", "\u1100\u1161\u11a8",
    "ự u\u031b\u0323 u\u0323\u031b",
    "\u0958 क\u093c", "\ufb2a \u05e9\u05c1", "\U0001d15e", "q\u0345\u08d3 q\u08d3\u0345", "\U00011935\U00011930",
    "\U000105d2", "\u0301alone", " \u0308",
    # Lower case.
    "İstanbul ISTANBUL ıI", "ß ẞ", "ΣΑΣ Σ", "\u212a \u2126", "ſ s'ſ", "ǅ ǆ Ǆ", "ŒUVRE Æsop",
    "\ua7cb \ua7dc \ua7ce \u1c89", "\U00016ea0\U00010d50",
    # Compatibility forms stay: ligatures, full width, mathematical letters, not ftfy's repairs.
    "ﬁne ﬂow ﬀ", "ＡＢ", "Ａ１！", "ℝ ℌ ™ ℃ №", "schÃ¶n â€œquoteâ€\x9d", "“curly” ‘quotes’ – — … «»",
    # Special tokens spelled out.
    "<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "a <|startoftext|> b<|endoftext|>", "<|STARTOFTEXT|>",
    "<|EndOfText|>!!", "<|ENDOFTEXT|><|STARTOFTEXT|>!?", "x<|ENDOFTEXT|>y", "<|ENDOFTEXT|>'s 5", "<|endoftext",
    "<||>", "<|startoftext|><|endoftext|>",
    "<start_of_text> <end_of_text>", "<pad> </s> [MASK]",
    # The exclamation mark, a special token where it pads.
    "!", "!!", "! !! !!!", "a!b", "wow! what a cat!!!", "?!?!", "!'s", "e!\u0301", "<|end!oftext|>", "！",
    # Bytes and symbols.
    "".join(map(chr, range(128))), "".join(map(chr, range(128, 256))),
    "".join(chr(64 * i) for i in range(256) if not 864 <= i < 896),
    "\x00", "a\x00b", "\ufffd\ufffd", "\ufffe\uffff", "\U0010ffff", "\ue000", "a\u00adb", "a\u202eb\u202c",
    "&amp; &lt;b&gt; &#39; &quot;", "snake_case __init__ a__b", "https://example.com/a-b_c.png?x=1&y=2",
    "#tag @user C++ C# .NET",
    "\u208f \u209d\u209e\u209f", "🫩 \U0001fae9", "\U0002ebf0\U0002ee5d", "\U00010d40\U00010d4a",
    # Long words.
    "a" * 1000, "ab" * 500, "Pneumonoultramicroscopicsilicovolcanoconiosis" * 5, "é" * 200, "-" * 300, "😀" * 60,
]  # fmt: skip

FRAMED = [" ".join(["cat"] * n) for n in (0, 1, 74, 75, 76, 77, 150)] + [
    "wow! " * 40,
    "<|endoftext|> " * 80,
    "日本語の長い文章" * 20,
    "a" * 1000,
]


def captions(count, seed=7):
    """Captions with the variety of alt texts on the web."""
    draw = random.Random(seed)
    objects = (
        "cat dog Pizza teapot skyscraper bicycle violin T-shirt sofa lighthouse Übergröße naïve-art château jalapeño "
        "桜 猫 собака"
    ).split()
    adjectives = (
        "red blue vintage hand-made 3D minimalist STUNNING cozy neo-Gothic half-eaten ultra-wide café-style"
    ).split()
    names = (
        "Anna O'Brien|José Núñez|Łukasz|Müller & Söhne|McDonald's|Renée Zellweger|김연아|Владимир|van Gogh|"
        "J.R.R. Tolkien"
    ).split("|")
    places = (
        "in Paris|on a beach|at Sunset|near the Köln cathedral|@ home|in New York, NY|under water|на столе|東京で"
    ).split("|")
    tails = [
        "- Stock Photo #{n}", "| {n}x{m} wallpaper", "({y})", "by {name}", "Size {n}", "£{n}.{m:02d}", "{n}% OFF!",
        "4K, 8k, HDR", "...",
        "&amp; more", "[{n}/{m}]", "\u201cBest of {y}\u201d", "don\u2019t miss it!!", "isn't it?", "IMG_{n}.JPG",
        "www.site{m}.com", "v{m}.{n}",
        "{n}\u00b0C", "\u00bd price", "\u2122\u00ae", "vol. \u2163", "{e}", "{e}{e} {e}", "<b>new</b>", "~{n}km",
        "#{n} #art #ai", "\u2013 {name}\u2019s", "{c}{c}{c}",
    ]  # fmt: skip
    emoji = ["😀", "🔥", "❤️", "👩‍🎨", "🇫🇷", "👍🏽", "✨", "🫠", "☃"]
    spaces = [" "] * 12 + ["  ", "\u00a0", "\t", ", ", " - "]
    blocks = [(0x21, 0x17F), (0x370, 0x5FF), (0x900, 0xD7F), (0x1E00, 0x20CF), (0x3041, 0x30FF), (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)]
    for _ in range(count):
        part = [draw.choice(["a", "The", "two", "photo of a", "", "An oil painting of", str(draw.randrange(3000))])]
        part += draw.sample(adjectives, draw.randrange(3)) + [draw.choice(objects)]
        if draw.random() < 0.5:
            part.append(draw.choice(places))
        for tail in draw.sample(tails, draw.randrange(3)):
            low, high = draw.choice(blocks)
            part.append(tail.format(
                n=draw.randrange(10 ** draw.randrange(1, 7)), m=draw.randrange(100), y=draw.randrange(1880, 2030),
                name=draw.choice(names), e=draw.choice(emoji), c=chr(draw.randrange(low, high)),
            ))  # fmt: skip
        caption = "".join(word + draw.choice(spaces) for word in part)
        yield draw.choice([str, str, str, str.upper, str.title])(caption).strip(" ")


def around(code_point):
    """A text whose ids tell the code point's class, its lower case, its composition and its place among marks."""
    c = chr(code_point)
    return f"a{c}- q\u0345{c} q{c}\u0301"


CODE_POINT_BLOCKS = [*range(0x00, 0x0D), *range(0x0E, 0x40), 0xE0,
0x10F]  # of 4096 code points; 0x0D holds the surrogates


def record_clip():
    end, zero = clip_tokenizer("<|endoftext|>"), clip_tokenizer("!")

    corpus = []
    for text in CORPUS:
        row = {"text": text, "end": content(end, text)}
        if (ids := content(zero, text)) != row["end"]:
            row["zero"] = ids
        corpus.append(row)
    frames = [{"text": text, "end": framed(end, text), "zero": framed(zero, text)} for text in FRAMED]
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    write_json("tokenizer_corpus.json", versions, tokenized=corpus, framed=frames)

    with open(HERE / "tokenizer_captions.txt", "w", encoding="utf-8", newline="\n") as file:
        for caption in captions(10_000):
            file.write(f"{fnv1a(content(zero, caption), fnv1a(content(end, caption))):016x} {caption}\n")

    with open(HERE / "tokenizer_code_points.txt", "w") as file:
        for block in CODE_POINT_BLOCKS:
            texts = [around(code_point) for code_point in range(block << 12, (block + 1) << 12)]
            state = fnv1a([])
            for ids in content(end, texts):
                state = fnv1a(ids, state)
            file.write(f"{block << 12:06x} {state:016x}\n")


SENTENCES = [
    "", " ", "a", "the cat sat on the mat", " the  cat ", "the cat", "The Cat", "a cat, a dog and a bird.",
    "unknown: 日本語 and 😀!",
    "日本", "ＡＢ ﬁne", "tab\tand\nnewline", "a\u00a0b\u3000c", "don't", "</s> <pad> <unk>", "▁the▁cat", "1234567890",
    "x" * 300, "a \u200b b", "\ufffd", "a\x00b",
    "the dog " * 60,
]  # fmt: skip


def record_sentencepiece():
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # the model records the names as given
        # a few rows in place of nfkc's 240 kB
        pairs = [(chr(0xFF21 + i), chr(0x41 + i)) for i in range(26)] + [("ﬁ", "fi")] + [(c,
        " ") for c in "\t\n\u00a0\u3000"]
        Path("rules.tsv").write_text("".join(f"{ord(a):X}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in pairs))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=captions(3000, seed=11), character_coverage=0.98, model_prefix="spiece",
            vocab_size=600, model_type="unigram", normalization_rule_tsv="rules.tsv",
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, num_threads=1)  # fmt: skip
        model = Path("spiece.model").read_bytes()
        t5 = transformers.T5Tokenizer.from_pretrained(".")
    (HERE / "tokenizer_sentencepiece.model").write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    rows = []
    for text in SENTENCES:
        row = {"text": text, "ids": processor.encode(text)}
        if content(t5, text) == row["ids"]:  # transformers gives special tokens that are spelled out their ids
            row["framed"] = framed(t5, text)
        rows.append(row)
    versions = {"sentencepiece": sentencepiece.__version__, "transformers": transformers.__version__}
    write_json("tokenizer_sentencepiece.json", versions, sentences=rows)


if __name__ == "__main__":
    record_clip()
    record_sentencepiece()
