-- How far the sync task has pushed.

function commands.get_synced()
  return 'synced\t' .. (call('GET', SYNCED) or '')
end

function commands.set_synced(judged, version)
  local old = call('GET', SYNCED) or ''
  if old ~= judged then return 'synced\t' .. old end
  call('SET', SYNCED, version)
  return 'synced\t' .. version
end
