#include "model/networks.h"

#include "model/load.h"

namespace darkroom {

Network& Networks::get(const std::string& name) {
  const auto found = loaded_.find(name);
  if (found != loaded_.end()) {
    found->second.move_to(device_);
    return found->second;
  }
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
