require 'digest'
require 'open3'
require 'tempfile'
require 'zlib'

# Prints, packs and seals.
module Gazette::Press
  module_function

  def picture
    require 'chunky_png'
    image = ChunkyPNG::Image.new(40, 30, ChunkyPNG::Color::WHITE)
    image.circle(20, 15, 10, ChunkyPNG::Color('navy'), ChunkyPNG::Color('khaki'))
    Tempfile.create(['picture', '.png']) do |file|
      image.save(file.path)
      kind, status = Open3.capture2('file', '--brief', file.path)
      raise 'no kind' unless status.success?
      { kind: kind.strip, sha: Digest::SHA256.file(file.path).hexdigest }
    end
  end

  def bundle(names, root)
    require 'zip'
    data = Zip::OutputStream.write_buffer do |zip|
      names.each do |name|
        zip.put_next_entry("#{name}.md")
        zip.write(File.binread(File.join(root, 'data/articles', "#{name}.md")))
      end
    end
    entries = Zip::File.open_buffer(data.string).map { |entry| [entry.name, entry.size] }
    { entries: entries.to_h }
  end

  def packed(path)
    data = File.binread(path)
    bzip2, status = Open3.capture2('bzip2', '--stdout', stdin_data: data, binmode: true)
    raise 'no bzip2' unless status.success?
    { zlib: Zlib.deflate(data).bytesize, bzip2: bzip2.bytesize }
  end

  def cipher
    require 'openssl'
    aes = OpenSSL::Cipher.new('aes-256-gcm').encrypt
    aes.key = OpenSSL::KDF.pbkdf2_hmac('gazette', salt: 'salt', iterations: 1000, length: 32, hash: 'sha512')
    aes.iv = "\0" * 12
    sealed = aes.update('extra') + aes.final
    key = OpenSSL::PKey::EC.generate('secp384r1')
    { sealed: sealed.unpack1('H*'), signed: key.dsa_verify_asn1('x' * 48, key.dsa_sign_asn1('x' * 48)), ciphers: OpenSSL::Cipher.ciphers.include?('chacha20-poly1305') }
  end

  # The date of a town, as the system's own program says it.
  def proof(zone)
    out, err, status = Open3.capture3({ 'TZ' => zone, 'LC_ALL' => 'C' }, 'date', '--date=@804600000', '+%c %Z')
    { out: out.strip, err: err, status: status.exitstatus }
  end
end
