#include "model/reading.h"

#include <algorithm>

#include "darkroom/base/error.h"
#include "darkroom/text/utf8.h"
#include "text/attention.h"
#include "text/compel_syntax.h"

namespace darkroom {
namespace {

void check_tokenizer(const Reading& reading, const Manifest& manifest, const std::string& tokenizer) {
  if (reading == Reading{.clip_skip = reading.clip_skip}) return;
  if (manifest.tokenizers.at(tokenizer).kind == "clip-bpe") return;
  throw UsageError(
      std::string(reading.weighting == Weighting::none ? "--long-prompt chunks" : "--weighting") +
      " is for CLIP's text encoders; the tokenizer '" + tokenizer + "' of this model is of another kind");
}

// Whether this source may be read some layers early. Throws if the network should give the states but does
// not.
bool skips_layers(const Manifest& manifest, const Manifest::Source& source) {
  if (source.output != kHidden) return false;
  if (std::ranges::count(manifest.networks.at(source.network).outputs, kLayers) == 0)
    throw UsageError("--clip-skip: this model's network '" + source.network +
                     "' gives the state after its last layer only");
  return true;
}

}  // namespace

Reading reading_of(const Settings& settings) {
  const Weighting weighting = find_weighting(settings.weighting);
  const bool chunks =
      settings.long_prompt == "auto" ? weighting != Weighting::none : settings.long_prompt == "chunks";
  return {weighting, chunks, settings.clip_skip};
}

void check_reading(const Settings& settings, const Manifest& manifest) {
  const Reading reading = reading_of(settings);
  bool skips = false;
  for (const Manifest::Conditioning& conditioning : manifest.conditioning) {
    for (const Manifest::Source& source : conditioning.from) {
      check_tokenizer(reading, manifest, source.tokenizer);
      if (reading.clip_skip > 0) skips = skips_layers(manifest, source) || skips;
    }
  }
  if (reading.clip_skip > 0 && !skips)
    throw UsageError("--clip-skip has no effect on this model, which reads no state of a layer");
}

std::vector<WeightedPrompt> parts_of(const std::string& text, Weighting weighting) {
  if (weighting == Weighting::a1111) return parse_attention(text);
  if (weighting == Weighting::compel) return parse_compel(text);
  return {{text, 1}};
}

void check_prompt(const Settings& settings, const std::string& prompt) {
  Silent silent;
  parts_of(valid_utf8(prompt, silent, ""), find_weighting(settings.weighting));
}

}  // namespace darkroom
