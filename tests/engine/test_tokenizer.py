from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from fairgen.engine.tokenizer import END, LAST, known_words, learn_merges, make_tokenizer, merged

TOKENIZER = make_tokenizer()


def test_merges_follow_the_counts_worked_out_by_hand():
    # "ab" ends a word 5 + 2 times; then "ab" + "ab</w>" stands twice, "c" + "ab</w>" 5 times.
    assert learn_merges({"cab": 5, "abab": 2}, 9) == (
        ("a", "b" + LAST),
        ("c", "ab" + LAST),
        ("a", "b"),
        ("ab", "ab" + LAST),
    )


def test_no_more_merges_are_learned_than_asked_for():
    assert len(learn_merges({"cab": 5, "abab": 2}, 2)) == 2


def test_a_pair_is_merged_from_the_left():
    assert merged(["a", "a", "a"], ("a", "a")) == ["aa", "a"]


def test_two_tokenizers_of_the_same_words_are_equal():
    again = make_tokenizer()
    assert again.get_vocab() == TOKENIZER.get_vocab()
    assert again.backend_tokenizer.to_str() == TOKENIZER.backend_tokenizer.to_str()


def test_every_listed_word_is_one_token():
    split = [w for w in known_words() if len(TOKENIZER.tokenize(w)) != 1]
    assert split == []


def test_the_words_of_given_texts_become_whole_tokens_too():
    word = "zyxomatosis"
    assert len(TOKENIZER.tokenize(word)) > 1
    assert make_tokenizer([f"a photograph of {word}"]).tokenize(word) == [word + LAST]


def test_usual_prompts_take_far_fewer_than_32_tokens():
    prompts = (
        "a photograph of squamous cell carcinoma on medium skin",
        "a chest X-ray of a female patient with pneumothorax",
        "an axial brain MRI of a over 75 patient, nondemented",
    )
    assert [len(ids) for ids in TOKENIZER(list(prompts))["input_ids"]] == [11, 13, 14]


@settings(max_examples=50)
@given(st.text(max_size=20))
def test_any_text_is_encoded_without_an_unknown_token(text):
    ids = TOKENIZER(text)["input_ids"]
    end = TOKENIZER.convert_tokens_to_ids(END)
    assert ids[0] == TOKENIZER.bos_token_id
    if END not in text.lower():
        assert ids.index(end) == len(ids) - 1


def test_case_makes_no_difference():
    assert TOKENIZER("Dark SKIN")["input_ids"] == TOKENIZER("dark skin")["input_ids"]


def test_saving_keeps_ids_and_the_longest_prompt(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 32
    assert loaded("psoriasis, naïve")["input_ids"] == TOKENIZER("psoriasis, naïve")["input_ids"]
