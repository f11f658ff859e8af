#include "model/networks.h"

namespace darkroom {

void Networks::check(const std::string& name) {
  const FileVersion version = version_of(manifest_.folder / manifest_.networks.at(name).file);
  const auto known = checked_.find(name);
  if (known != checked_.end() && known->second == version) return;
  check_hash(manifest_, name);
  checked_[name] = version;
}

bool Networks::is_there(const std::string& name) const {
  const auto found = loaded_.find(name);
  return found != loaded_.end() && found->second.device() == device_;
}

Network& Networks::get(const std::string& name) {
  const auto found = loaded_.find(name);
  if (found != loaded_.end()) {
    found->second.move_to(device_);
    return found->second;
  }
  check(name);
  Network network = load_network(manifest_, name, device_, precision_);
  if (adaptation_) adaptation_->apply(network);
  return loaded_.emplace(name, std::move(network)).first->second;
}

void Networks::put_aside(const std::string& name) {
  const auto found = loaded_.find(name);
  if (found == loaded_.end()) return;
  if (device_.is_cpu())
    loaded_.erase(found);
  else
    found->second.move_to(at::kCPU);
}

void Networks::adapt(std::shared_ptr<const Adaptation> adaptation) {
  adaptation_ = std::move(adaptation);
  for (auto& [name, network] : loaded_) adaptation_->apply(network);
}

}  // namespace darkroom
