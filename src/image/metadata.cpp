#include "darkroom/image/metadata.h"

#include <nlohmann/json.hpp>

#include "darkroom/base/error.h"

namespace darkroom {
namespace {

std::string quoted_if_needed(const std::string& value) {
  if (value.find_first_of(",:\n") == std::string::npos) return value;
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string xml_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

std::string a1111_parameters(std::string_view prompt, std::string_view negative_prompt,
                             const std::vector<std::pair<std::string, std::string>>& pairs) {
  if (pairs.size() < 3 || pairs[0].first != "Steps")
    throw BugError("the 'parameters' text needs at least three pairs, 'Steps' the first");
  std::string text(prompt);
  if (!text.empty()) text += '\n';
  if (!negative_prompt.empty()) text.append("Negative prompt: ").append(negative_prompt).append("\n");
  for (const auto& [key, value] : pairs) {
    if (&key != &pairs[0].first) text += ", ";
    text.append(key).append(": ").append(quoted_if_needed(value));
  }
  return text;
}

std::string xmp_packet(std::string_view version) {
  // XMP specification part 1, 7.3.2: the packet's marker holds U+FEFF and this id. The vocabulary is that of
  // cv.iptc.org/newscodes/digitalsourcetype.
  return R"(<?xpacket begin=")"
         "\xEF\xBB\xBF"
         R"(" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>darkroom )" +
         xml_escaped(version) +
         R"(</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>)";
}

}  // namespace darkroom
