require_relative 'app'
require_relative 'lib/middleware/edition'

use Rack::Deflater
use Edition, 'winter'
run Gazette
