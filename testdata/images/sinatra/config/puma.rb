threads 2, 4
port ENV.fetch('PORT', 9292)
environment ENV.fetch('RACK_ENV', 'development')
drain_on_shutdown
raise_exception_on_sigterm false
