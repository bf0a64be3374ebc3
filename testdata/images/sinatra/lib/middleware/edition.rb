# Names the edition in every answer; what a client asks for it may not have wins.
class Edition
  def initialize(app, name)
    @app = app
    @name = name
  end

  def call(env)
    status, headers, body = @app.call(env)
    [status, headers.merge('X-Edition' => @name), body]
  end
end
