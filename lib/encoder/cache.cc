#include "lib/encoder/cache.h"

namespace padless {

EncoderCache& EncoderCache::shared() {
  // Never destroyed: environments may still load while the process exits.
  static auto* cache = new EncoderCache;
  return *cache;
}

Result<std::shared_ptr<Encoder>> EncoderCache::get(const std::string& key, const Load& load) {
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard lock(mutex_);
    // An entry that only the map holds is neither loading nor about to: it may go once its encoder has gone.
    std::erase_if(entries_, [](const auto& item) {
      return item.second.use_count() == 1 && item.second->encoder.expired();
    });
    std::shared_ptr<Entry>& slot = entries_[key];
    if (!slot) slot = std::make_shared<Entry>();
    entry = slot;
  }
  const std::lock_guard loading(entry->mutex);
  if (auto encoder = entry->encoder.lock()) return encoder;
  auto loaded = load();
  if (loaded.is_ok()) entry->encoder = loaded.value();
  return loaded;
}

}  // namespace padless
